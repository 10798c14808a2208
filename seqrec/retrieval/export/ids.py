"""``ids.json``: the ids of the exported rows as one JSON array of strings."""

import json
from collections.abc import Sequence
from pathlib import Path

from seqrec.errors import SeqRecError
from seqrec.files import read_json

FIX = "export again"


def write_ids(folder: Path, ids: Sequence[str]) -> None:
    (folder / "ids.json").write_text(json.dumps(list(ids), indent=0) + "\n", encoding="utf-8")


def read_ids(folder: Path) -> list[str]:
    """Return the ids of an export.

    Raises:
        SeqRecError: no such file, or one that is no list of text.
    """
    file = folder / "ids.json"
    ids = read_json(file, FIX)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise SeqRecError(f"{file}: holds no list of ids; {FIX}")
    return ids
