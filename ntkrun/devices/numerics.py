"""What JAX lets its environment choose and numbers depend on: the command line decides it, for every user alike.

As a library ntkrun leaves the caller's configuration alone, and keys that it makes itself name their generator.
"""

import os
import sys
from typing import Any

from ntkrun.devices.float64 import switch_on

GENERATOR = "threefry2x32"  # of all random numbers

# names of JAX's configuration; the environment has them in capitals
PINNED: dict[str, Any] = {
    "jax_default_prng_impl": GENERATOR,
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
}


def pin() -> None:
    """64-bit arithmetic and the generator of random numbers, in this process and in those that it starts."""
    switch_on()
    os.environ.update({name.upper(): str(value).lower() for name, value in PINNED.items()})
    if "jax" in sys.modules:  # it has read its environment
        import jax

        for name, value in PINNED.items():
            jax.config.update(name, value)


def random_numbers() -> dict[str, Any]:
    """How random numbers are made in this process, for the provenance."""
    import jax

    config: Any = jax.config  # its hints name no flags
    return {name.removeprefix("jax_"): getattr(config, name) for name in PINNED}
