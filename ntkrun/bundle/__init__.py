"""One folder with all that a run needs on a machine without network (docs/no_network.md)."""
