"""The attribute ``Recommender.fit``, which is the function ``seqrec.fit``."""

from typing import Any

import seqrec


class FitAttribute:
    """Resolves to ``seqrec.fit`` at its use: models are trained above this room."""

    def __get__(self, instance: Any, owner: type) -> Any:
        return seqrec.fit
