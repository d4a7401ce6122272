"""python -m ntkrun.cli"""

from ntkrun.cli.main import main  # the module that jobs of a cluster import, not `__main__`

main()
