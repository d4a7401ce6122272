"""The figures (`figures`, one a file), what computes their tables (`runs`), what reads them (`analysis`)."""
