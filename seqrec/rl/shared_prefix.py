"""Rows of histories with several branches each, so that each history is encoded once."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from seqrec.tokens.streams.placement import pack_rows

LENGTH_MULTIPLE = 32
"""Rows have a multiple of this number of columns, because every new shape has a setup cost."""


class Layout(NamedTuple):
    """Positions of histories in rows, each followed by its branches.

    A token of a branch attends to its history and to the earlier tokens of the branch, not to other
    branches.
    """

    history: Int[Tensor, " N"]
    """Flat positions of the histories' tokens, one history after the other."""
    branches: Int[Tensor, "B E"]
    """Flat positions of the branches' tokens, one branch after the other."""
    positions: Int[Tensor, "R L"]
    """Distance of every token from the start of its history."""
    allowed: Bool[Tensor, "R L L"]
    query_positions: Int[Tensor, "R H 1+E"]
    """Columns of the last token of every history of a row and of all of its branches."""
    slots: Int[Tensor, " B"]
    """Flat indices of the histories among the rows' histories."""

    @classmethod
    def of(cls, lengths: list[int], num_branches: int, num_tokens: int) -> "Layout":
        """Build the layout of histories and branches.

        Args:
            lengths: lengths of the histories.
            num_branches: number of branches of each history.
            num_tokens: number of tokens of each branch.
        """
        behind = num_branches * num_tokens
        sizes = np.array(lengths) + behind
        width = -(-int(sizes.max()) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        rows = pack_rows(sizes, width)
        document, branch, positions = np.zeros((3, len(rows), width), dtype=np.int64)
        query_positions = np.zeros((len(rows), max(map(len, rows)), 1 + behind), dtype=np.int64)
        starts, slots = np.zeros((2, len(lengths)), dtype=np.int64)
        branch_number = np.repeat(np.arange(1, num_branches + 1), num_tokens)
        within = np.tile(np.arange(num_tokens), num_branches)
        for row, histories in enumerate(rows):
            start = 0
            for number, history in enumerate(histories):
                length = lengths[history]
                end, stop = start + length, start + length + behind
                document[row, start:stop] = number + 1
                branch[row, end:stop] = branch_number
                positions[row, start:end] = np.arange(length)
                positions[row, end:stop] = length + within
                query_positions[row, number] = np.arange(end - 1, stop)
                starts[history] = row * width + start
                slots[history] = row * query_positions.shape[1] + number
                start = stop
        ends = starts + np.array(lengths)
        spans = zip(starts, ends, strict=True)
        history_positions = np.concatenate([np.arange(start, end) for start, end in spans])
        columns = np.arange(width)
        allowed = document[:, :, None] == document[:, None, :]
        allowed &= columns[:, None] >= columns
        allowed &= (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
        branches = ends[:, None] + np.arange(behind)
        parts = history_positions, branches, positions, allowed, query_positions, slots
        return cls(*map(torch.from_numpy, parts))
