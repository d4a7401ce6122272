"""How much memory a kernel may work in, beside its inputs and its result."""

import jax

ON_A_CPU = 2**30  # bytes: what a machine of a few cores has beside everything else
SHARE = 4  # of an accelerator's memory: what XLA needs for the products themselves comes on top, states lie beside it


def working_bytes() -> int:
    """A quarter of the memory that JAX may use of its device; 1 GiB on a CPU, and where a device does not say.

    It decides how many blocks a kernel falls into, hence the order of float sums and nothing else.
    """
    if jax.default_backend() == "cpu":
        return ON_A_CPU
    told = jax.local_devices()[0].memory_stats() or {}
    return max(ON_A_CPU, told.get("bytes_limit", 0) // SHARE)


def beyond_a_cpu(numbers: int) -> int:
    """`numbers`, chosen for a CPU's cache, as many times larger as the device has more working memory than a CPU."""
    return numbers * (working_bytes() // ON_A_CPU)
