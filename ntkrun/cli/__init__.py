"""The command line.  Hydra lives only in `main`; what Hydra composes is a plain dictionary everywhere else."""
