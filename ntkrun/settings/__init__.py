"""Every setting of a run, typed and described.

choices     the closed lists of values; stages and losses with what is known of them
fields      numbers with bounds, and marks: local, of one stage
data, models, optimizers, sections    the sections of a run's settings
base, runs  what every experiment has; each kind of run
schema      what is read off the types: which settings are local, which are lists
parts, stages, validation, custom_source    from a configuration to these types
"""
