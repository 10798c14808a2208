"""A draft: a tag or a text for an item, with what it was written from."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.errors import SeqRecError, refuse_unreadable
from seqrec.files import check_regular

DRAFTS_FILE = "drafts.parquet"
FIX = "name the folder of seqrec draft"
SCHEMA = pa.schema(
    [
        ("draft_id", pa.string()),
        ("kind", pa.string()),
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("fingerprint", pa.string()),
        ("confidence", pa.float64()),
        ("shown", pa.int64()),
        ("prompt", pa.string()),
        ("evidence", pa.string()),
        ("fallback", pa.string()),
    ]
)
ID_LETTERS = 20


@dataclass(frozen=True)
class Draft:
    """A tag or a text that is proposed for an item."""

    kind: str
    """``tag`` or ``summary``."""
    item_id: str
    title: str
    """Display name of the item."""
    text: str
    source: str
    """``template``, ``tagger``, or the name of a language model."""
    fingerprint: str = ""
    """Fingerprint of the model that drafted it; empty for a template."""
    confidence: float = 0.5
    """From 0 to 1; drafts near .5 are reviewed first."""
    shown: int = 0
    """Interactions with the item in training."""
    prompt: Sequence[Mapping[str, str]] = ()
    """The messages that a language model answers with the text."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Facts that the draft was made from, by name."""
    fallback: str = ""
    """The text of the template for the same prompt."""

    @property
    def draft_id(self) -> str:
        """A hash of what a reviewer judges: another text, prompt or item is another draft."""
        parts = [self.kind, self.item_id, self.text, json.dumps([dict(one) for one in self.prompt])]
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:ID_LETTERS]


def build_draft_table(drafts: Iterable[Draft]) -> pa.Table:
    """Return drafts as a table; prompts and evidence are JSON."""
    rows = []
    for one in drafts:
        row = asdict(one) | {"draft_id": one.draft_id}
        for name in ("prompt", "evidence"):
            row[name] = json.dumps(row[name], ensure_ascii=False)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def read_drafts(file: Path) -> list[Draft]:
    """Return the drafts of a file, each once.

    Raises:
        SeqRecError: a missing or broken file, or columns of another schema.
    """
    if not file.is_file():
        raise SeqRecError(f"{file.parent}: holds no {file.name}; {FIX}")
    with refuse_unreadable(str(file), FIX):
        check_regular(file, FIX)
        table = pq.read_table(file, partitioning=None)
        missing = [name for name in SCHEMA.names if name not in table.column_names]
        if missing:
            raise SeqRecError(f"{file}: has no column {missing[0]}; {FIX}")
        rows = table.select(SCHEMA.names).cast(SCHEMA).to_pylist()
        drafts = [_parse(row) for row in rows]
    return list({one.draft_id: one for one in drafts}.values())


def _parse(row: dict[str, Any]) -> Draft:
    row.pop("draft_id")
    prompt, evidence = (json.loads(row.pop(name) or "null") for name in ("prompt", "evidence"))
    texts = {name: row[name] or "" for name in ("fingerprint", "fallback")}
    return Draft(**{**row, **texts}, prompt=prompt or (), evidence=evidence or {})
