"""The global random state of the process, kept over a training run."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def keep_random_state() -> Iterator[None]:
    """Restore the states of torch, NumPy and ``random`` at the end of the block."""
    state, by_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(by_numpy)
