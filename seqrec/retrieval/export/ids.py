"""``ids.json``: the ids of the exported rows as one JSON array of strings."""

import json
from collections.abc import Sequence
from pathlib import Path


def write_ids(folder: Path, ids: Sequence[str]) -> None:
    (folder / "ids.json").write_text(json.dumps(list(ids), indent=0) + "\n", encoding="utf-8")


def read_ids(folder: Path) -> list[str]:
    return json.loads((folder / "ids.json").read_text(encoding="utf-8"))
