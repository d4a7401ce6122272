"""All that knows Hydra and OmegaConf: composing settings, sweeps (-m) and their launchers, and what their errors mean."""
