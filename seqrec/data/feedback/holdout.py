"""Held-out users, chosen by their ids alone, so that different runs hold out the same ones.

The users of a smaller share are a subset of those of a larger share: a reward model that holds out
at least the policy's share never trains on the policy's held-out users.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float


def holdout_levels(ids: Iterable[str]) -> Float[np.ndarray, " U"]:
    """Return a pseudo-random number from 0 to 1 for every id; ids below the share are held out.

    The number is the first 64 bits of the id's SHA-256, divided by ``2 ** 64``.
    """
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in ids)
    return np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
