"""Windows: the stretches of histories that a model is trained on."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

WindowKind = Literal["last", "all", "prefixes"]


class Windows(NamedTuple):
    """Stretches of flat arrays: window ``w`` reads ``starts[w] : starts[w] + lengths[w]``.

    Its targets stand one index further on.
    """

    starts: Int[np.ndarray, " W"]
    lengths: Int[np.ndarray, " W"]
    num_context: Int[np.ndarray, " W"]
    """Positions at the start that are read and not learned: earlier windows have their targets."""


def training_windows(
    starts: Int[np.ndarray, " U"],
    ends: Int[np.ndarray, " U"],
    max_length: int,
    which: WindowKind,
    stride: int | None = None,
) -> Windows:
    """Return the windows of the histories ``starts : ends`` of a flat array.

    A history of ``n`` items has ``n - 1`` inputs, each with the next item as its target.
    ``last`` keeps the last ``max_length`` of them. ``all`` slides a window of ``max_length`` over
    the inputs, from the end backwards by ``stride``; each target is learned once, in the first
    window that reads up to it. ``prefixes`` gives each target its own window, which ends
    before it. Histories of fewer than two items have no window.

    Args:
        starts: where each history starts.
        ends: one past its last item.
        max_length: inputs of a window.
        which: as above.
        stride: at most ``max_length``, the value if absent: windows that do not overlap.
    """
    stride = stride or max_length
    num_inputs = np.maximum(ends - starts - 1, 0)
    num_windows = np.minimum(num_inputs, 1)
    if which == "all":
        num_windows += -(-np.maximum(num_inputs - max_length, 0) // stride)
    if which == "prefixes":
        num_windows = num_inputs
        stride = 1
    owner = np.repeat(np.arange(len(starts)), num_windows)
    back = np.arange(len(owner)) - np.repeat(np.cumsum(num_windows) - num_windows, num_windows)
    window_ends = (ends - 1)[owner] - back * stride
    window_starts = np.maximum(window_ends - max_length, starts[owner])
    lengths = window_ends - window_starts
    if which == "prefixes":
        return Windows(window_starts, lengths, lengths - 1)
    is_first = (back == num_windows[owner] - 1) | (which == "last")
    num_context = np.where(is_first, 0, max_length - stride)
    return Windows(window_starts, lengths, num_context)
