"""Images, targets and their order: everything between a data set's name and the arrays a network is trained on.

Import from the modules: `dataset.load_dataset` is the usual entry.  This file stays empty of imports so that
`sources.prepare` (run before JAX or TensorFlow are known to work) starts at once.
"""
