"""The description of an exported version, kept in the store's own metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from seqrec.errors import SeqRecError

METRIC = "inner_product"
METADATA_KEY = "seqrec"
"""The key of the description in metadata that hold more than one text."""


@dataclass(frozen=True)
class Description:
    """Description of a version of a table of items, and of the model that its vectors belong to."""

    version: str
    """Name of the version; later versions have larger names."""
    content: str
    """Checksum of rows and settings: an export of equal content continues this version."""
    model: str
    """Display name of the model."""
    model_fingerprint: str
    catalog_fingerprint: str
    tokenizer_fingerprint: str
    scores_are_products: bool
    """False: the model adds a transition prior to the products; candidates need re-scoring."""
    width: int
    num_items: int
    columns: Mapping[str, str]
    """Types of the columns beside id and vector: text, texts, integer, number or flag."""
    ann: Mapping[str, Any] | None
    """Settings of the approximate index; None: every search is exact."""
    written_at: str
    """Time in UTC, as ISO 8601."""
    seqrec: str
    """Version of seqrec."""
    metric: str = METRIC

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None, where: str) -> "Description":
        """Return the description in a store's metadata.

        Raises:
            SeqRecError: no description, or one of another layout.
        """
        names = {field.name for field in fields(cls)}
        try:
            values = json.loads(text or "")
            if not isinstance(values, dict) or set(values) != names:
                raise ValueError("other keys")
            return cls(**values)
        except ValueError as error:
            raise SeqRecError(
                f"{where}: is not an export of seqrec; choose another --name"
            ) from error

    def check_model(self, where: str, model_fingerprint: str, catalog_fingerprint: str) -> None:
        """Refuse the vectors of another model or catalog.

        Raises:
            SeqRecError: a fingerprint differs.
        """
        pairs = {
            "catalog": (self.catalog_fingerprint, catalog_fingerprint),
            "model": (self.model_fingerprint, model_fingerprint),
        }
        for name, (stored, expected) in pairs.items():
            if stored != expected:
                raise SeqRecError(
                    f"{where}: holds vectors of another {name} ({stored[:12]}, not "
                    f"{expected[:12]}; model {self.model!r}); export this model again"
                )
