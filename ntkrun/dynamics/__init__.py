"""The rivals: a network and its linearizations, moving from one theta0."""
