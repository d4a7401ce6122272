"""Which device there is, what XLA is told for it, and where arrays and programs are placed."""
