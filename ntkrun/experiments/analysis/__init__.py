"""What is drawn and measured on the tables of `experiments.runs`.  Nothing here trains; the table ties the two together."""
