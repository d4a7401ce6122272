"""Which sizes `scale=auto` stands for on this machine."""

from ntkrun.devices.platform import may_have_accelerator


def scale_of_device() -> str:
    """The paper's sizes on an accelerator, the cpu sizes otherwise."""
    if not may_have_accelerator():
        return "cpu"
    import jax

    return "cpu" if jax.default_backend() == "cpu" else "paper"
