"""The command line.  Hydra lives only in the folder `hydra`; what it composes is a plain dictionary everywhere else."""
