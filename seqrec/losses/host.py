"""Values that the host may look at without a wait for a device."""

from jaxtyping import Shaped
from torch import Tensor


def read_on_host(number: Shaped[Tensor, ""]) -> float | None:
    """Return a number that is in the host's memory; None on a GPU.

    To look at one there would stop the queue of its kernels until all before it have run.
    """
    return float(number.detach().double().numpy()) if number.device.type == "cpu" else None


def is_on_host(values: Shaped[Tensor, "*shape"]) -> bool:
    """Test whether values are in the host's memory, so that a selection of them costs no wait.

    On a GPU the host waits for the size of what is selected; to compute with all values, and choose
    afterwards, is faster there.
    """
    return values.device.type == "cpu"
