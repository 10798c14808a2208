"""Which stretches of a history the model is trained on."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int


class Windows(NamedTuple):
    """Stretches of flat arrays: window ``w`` reads ``starts[w] : starts[w] + lengths[w]``.

    Its targets stand one place further on.
    """

    starts: Int[np.ndarray, " W"]
    lengths: Int[np.ndarray, " W"]


def training_windows(
    starts: Int[np.ndarray, " U"],
    ends: Int[np.ndarray, " U"],
    max_length: int,
    which: Literal["last", "all"],
) -> Windows:
    """The windows of histories that stand at ``starts : ends`` of a flat array.

    A history of ``n`` items has ``n - 1`` inputs, each with the next item as its target.
    ``last`` keeps the last ``max_length`` of them; ``all`` cuts the inputs, from the end
    backwards, into windows of at most ``max_length``, so that each target counts once.
    Histories of fewer than two items have no window.
    """
    num_inputs = np.maximum(ends - starts - 1, 0)
    if which == "last":
        num_windows = np.minimum(num_inputs, 1)
    else:
        num_windows = -(-num_inputs // max_length)
    owner = np.repeat(np.arange(len(starts)), num_windows)
    back = np.arange(len(owner)) - np.repeat(np.cumsum(num_windows) - num_windows, num_windows)
    window_ends = (ends - 1)[owner] - back * max_length
    window_starts = np.maximum(window_ends - max_length, starts[owner])
    return Windows(window_starts, window_ends - window_starts)
