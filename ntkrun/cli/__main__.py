"""python -m ntkrun.cli"""

from ntkrun.cli.entry import main  # the module that jobs of a cluster import, not `__main__`

main()
