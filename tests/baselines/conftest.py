"""Histories from lists, and random ones with a held-out end."""

import numpy as np
import pytest

from seqrec.data.histories import Histories
from seqrec.data.splits import TEST, TRAIN, VALIDATION


def histories_of(lists, num_held_out=0, times=None):
    """Histories whose last items are held out: test, and before it validation."""
    split = [np.full(len(items), TRAIN, np.uint8) for items in lists]
    for part in split:
        if num_held_out:
            part[-1:] = TEST
            part[-2:-1] = VALIDATION
    offsets = np.cumsum([0, *map(len, lists)])
    items = np.concatenate([np.array(items, np.int32) for items in lists])
    columns = {} if times is None else {"time": np.concatenate([np.array(t) for t in times])}
    return Histories(offsets, items, np.concatenate(split), columns)


@pytest.fixture
def random_lists(generator):
    """60 histories of up to 14 of 12 items, in which items may repeat."""
    return [generator.integers(0, 12, generator.integers(3, 15)).tolist() for _ in range(60)]
