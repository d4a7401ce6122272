"""How many of each were tried: counted by the tests, printed at the end of the run."""

from collections import Counter

TRIED: Counter[str] = Counter()
