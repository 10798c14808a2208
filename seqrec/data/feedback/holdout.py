"""Who is left out of learning: decided by an id alone, so that different runs leave out the same.

Of two shares the people of the smaller one are among those of the larger one: where a reward model
leaves out no fewer than a policy, those whom the policy is never asked about it has not met either.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float


def held_out_levels(ids: Iterable[str]) -> Float[np.ndarray, " U"]:
    """A number from 0 to 1 for every id, as if drawn at random; those below a share are left out.

    The first 64 bits of the id's sha256, over ``2 ** 64``.
    """
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in ids)
    return np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
