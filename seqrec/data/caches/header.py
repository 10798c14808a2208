"""Headers of caches: the model, data and settings that a cache was made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqrec.errors import SeqRecError

FIX = "write it with seqrec cache"


def check_header(
    path: Path, header: object, expected: Mapping[str, Any], mismatches: Mapping[str, str]
) -> None:
    """Refuse a cache of another kind, or one made from something else.

    Args:
        path: the cache.
        header: the cache's header.
        expected: the header that the cache must have; keys that it lacks are not compared.
        mismatches: the message for each key whose values differ; ``kind`` comes first.

    Raises:
        SeqRecError: no header, or one that differs from ``expected``.
    """
    if not isinstance(header, dict):
        raise SeqRecError(f"{path}: {mismatches['kind']}; {FIX}")
    for key, mismatch in mismatches.items():
        if key in expected and header.get(key) != expected[key]:
            raise SeqRecError(f"{path}: {mismatch}; {FIX}")
