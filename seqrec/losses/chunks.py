"""Chunk sizes of catalog losses, and sums and maxima over the items of a chunk.

``maximum_over_items`` and ``sum_over_items`` are the only reductions over the catalog: logits'
maxima, sums of exponentials, label logits and the sums of divergences all pass through them, as
one small array for each tile of the catalog. A catalog that is split over processes needs its
all-reduce (of maxima, and of sums and label logits) in these two functions and nowhere else.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

MIN_CHUNK_ROWS = 128
MAX_CHUNK_LOGITS = {"cpu": 2**21}
"""Largest number of logits held at once, by device: on a CPU, as many as stay in its caches."""
OTHER_CHUNK_LOGITS = 2**26
SUM_PARTS = 32


def maximum_over_items(tiles: Sequence[Float[Tensor, "C _"]]) -> Float[Tensor, "C 1"]:
    """Return the largest value of every row over all tiles of the catalog."""
    maxima = [tile.amax(dim=1, keepdim=True) for tile in tiles]
    return maxima[0] if len(maxima) == 1 else torch.cat(maxima, dim=1).amax(dim=1, keepdim=True)


def sum_over_items(parts: Sequence[Float[Tensor, "C K"]]) -> Float[Tensor, "C K"]:
    """Return the sum of what every tile of the catalog contributes to each row."""
    return parts[0] if len(parts) == 1 else torch.stack(list(parts)).sum(dim=0)


def row_sums(values: Float[Tensor, "C I"], dtype: torch.dtype) -> Float[Tensor, "C 1"]:
    """Return the sums of rows in ``dtype``, without a copy of all values in it.

    In a lower precision parts of a row are summed first, each rounded once; roundings average out.
    """
    if values.dtype == dtype:
        return values.sum(dim=1, keepdim=True)
    part = values.shape[1] // SUM_PARTS
    whole = values[:, : part * SUM_PARTS].unflatten(1, (SUM_PARTS, part)).sum(dim=-1)
    rest = values[:, part * SUM_PARTS :]
    return torch.cat([whole, rest], dim=1).sum(dim=1, keepdim=True, dtype=dtype)


def most_logits(device: torch.device) -> int:
    """Return the logits of a chunk, unless that makes too few rows."""
    return MAX_CHUNK_LOGITS.get(device.type, OTHER_CHUNK_LOGITS)


def chunk_rows(num_rows: int, num_items: int, device: torch.device) -> int:
    """Return the rows scored at once: as many as fit, but enough for a matrix product.

    Chunks have similar sizes: each walks the whole catalog, however few its rows are.
    """
    most = max(most_logits(device) // max(num_items, 1), MIN_CHUNK_ROWS)
    num_chunks = max(-(-num_rows // most), 1)
    return max(-(-num_rows // num_chunks), 1)
