"""What infinite width and the linearized network say: closed forms, distributions, flows, learning rates.  No network."""
