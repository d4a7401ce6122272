"""Download and prepare MNIST and CIFAR-10 for ntkrun; `make data` runs this.

python scripts/prepare_data.py [--data-dir DIR] [mnist] [cifar10]     both unless named
python scripts/prepare_data.py --check-network                        only ask whether the hosts answer
"""

import argparse
import sys
from pathlib import Path

# So that it also runs from a checkout that is not installed, which is when `make data` may be typed first.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ntkrun.data.sources.locate import NAMES, default_data_dir, prepared_in
from ntkrun.data.sources.prepare import check_network, prepare
from ntkrun.errors import UserError


def main() -> int:
    """0 when everything asked for is there, 2 after an `error:` line."""
    parser = argparse.ArgumentParser(description="Download and prepare the data sets of ntkrun.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(NAMES)} (default: all)")
    parser.add_argument(
        "--data-dir", type=Path, help="default: $NTKRUN_DATA_DIR, $TFDS_DATA_DIR, ~/tensorflow_datasets"
    )
    parser.add_argument(
        "--check-network", action="store_true", help="only check that what is missing can be downloaded"
    )
    arguments = parser.parse_args()
    names = arguments.names or list(NAMES)
    try:
        if arguments.check_network:
            data_dir = arguments.data_dir or default_data_dir()
            check_network([name for name in names if prepared_in(data_dir, name) is None])
            return 0
        for name in names:
            print(f"{name}: {prepare(name, arguments.data_dir)}", flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
