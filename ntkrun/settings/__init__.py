"""Every setting of a run, typed: `base` what all experiments have, `runs` each kind of run, `sections` their parts."""
