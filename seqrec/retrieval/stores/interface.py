"""The interface of stores: versions of a table of items in a vector database, one of them live.

Readers of the live version never see another one half written: a version is created beside it,
filled, checked, and then published. Stores differ in how they switch: a tag, a view, an alias, a
pointer.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from seqrec.errors import SeqRecError
from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.description import Description
from seqrec.retrieval.stores.retries import call_with_retries
from seqrec.retrieval.stores.scores import Measure

T = TypeVar("T")

VERSION = re.compile(r"\d{20}")
"""Names of versions: the time of the export, to the microsecond."""

Where = Mapping[str, str | int | float | bool]
"""Conditions that all hold: a column equals a value, or a list holds it."""


class Version(NamedTuple):
    """A version that a store holds."""

    description: Description
    num_rows: int

    @property
    def name(self) -> str:
        return self.description.version

    @property
    def is_complete(self) -> bool:
        """True if all rows were written."""
        return self.num_rows == self.description.num_items


class Hits(NamedTuple):
    """Found items of each query, best first; shorter lists where fewer items fulfil the filters."""

    ids: list[list[str]]
    scores: list[list[float]]
    """Inner products of query and item."""


@dataclass(frozen=True)
class Request:
    """One query of a search, as stores read it."""

    vector: Float[np.ndarray, " D"]
    k: int
    exclude: Sequence[str]
    """Ids that are not listed."""
    where: Where


class Store(ABC):
    """Versions of one table of items in a vector database.

    Methods may raise the errors of the store's client; callers run them by ``attempt``.
    """

    kind: ClassVar[str]
    measure: ClassVar[Measure]
    switches_at_once: ClassVar[bool] = True
    """Readers see the old version or the new one, whatever happens between."""
    updates_at_once: ClassVar[bool] = True
    """``update`` shows readers all changes or none."""
    has_flat: ClassVar[bool] = True
    """Searches are exact where no approximate index was asked for."""
    ann_kinds: ClassVar[Sequence[str]] = ()
    """Kinds of approximate indexes that it has."""
    batch_rows: ClassVar[int] = 4096
    name: str
    """Name of the table."""
    label: str
    """Kind, address without passwords, and name, for messages."""
    secret: str | None = None
    """Password or token that no message may hold."""

    @abstractmethod
    def list_versions(self) -> list[Version]:
        """Return all versions, complete or not, oldest first."""

    @abstractmethod
    def get_live(self) -> str | None:
        """Return the name of the published version; None if nothing was published."""

    @abstractmethod
    def create(self, description: Description, schema: pa.Schema) -> None:
        """Create the version of a description without rows."""

    @abstractmethod
    def insert(self, version: str, rows: pa.Table) -> None:
        """Add rows whose ids the version does not hold."""

    @abstractmethod
    def update(self, description: Description, rows: pa.Table, gone: Sequence[str]) -> None:
        """Replace or add rows of a version, remove ids, and describe it anew."""

    @abstractmethod
    def build_index(self, version: str, ann: Ann) -> None:
        """Build the approximate index of a filled version, and wait for it."""

    @abstractmethod
    def read(self, version: str) -> Iterator[pa.Table]:
        """Yield all rows in batches, in any order."""

    @abstractmethod
    def find(self, description: Description, request: Request) -> list[tuple[str, float]]:
        """Return the ids of the largest products that fulfil the filters, with ``measure``."""

    @abstractmethod
    def publish(self, version: str) -> None:
        """Make a version the live one."""

    @abstractmethod
    def drop(self, version: str) -> None:
        """Remove a version that is not live."""

    def check_own(self, version: str | None) -> str:
        """Return a version's name from what is live; refuse what others have made.

        Raises:
            SeqRecError: no name of a version.
        """
        if version is None or not VERSION.fullmatch(version):
            raise SeqRecError(
                f"{self.label}: {self.name!r} is there already, and is no export of seqrec; choose "
                "another --name"
            )
        return version

    def check_rows(self, rows: pa.Table) -> None:
        """Refuse rows that this store cannot hold."""
        return

    def close(self) -> None:
        """Release the connection."""
        return

    def attempt(self, do: Callable[[], T]) -> T:
        """Return the result of an operation, tried again while the store is unreachable.

        Raises:
            SeqRecError: every error of the store, in one line without passwords.
        """
        return call_with_retries(do, self.label, self.secret, self.is_transient)

    def is_transient(self, error: Exception) -> bool:
        """Return whether an operation that failed so may succeed if it is tried again."""
        return False

    def search(
        self,
        description: Description,
        queries: Float[np.ndarray, "B D"],
        k: int,
        exclude: Sequence[Sequence[str]] | None = None,
        where: Where | None = None,
    ) -> Hits:
        """Return the ``k`` items of the largest inner product with each query.

        Raises:
            SeqRecError: queries of another width, a column that rows do not carry, or the store
                fails.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != description.width:
            raise SeqRecError(
                f"{self.label}: queries of shape {queries.shape} for vectors {description.width} "
                "wide; use the model that was exported"
            )
        for column in where or {}:
            if column not in description.columns:
                held = ", ".join(description.columns)
                raise SeqRecError(f"{self.label}: no column {column!r}; its rows carry {held}")
        hits = Hits([], [])
        for row, query in enumerate(queries):
            request = Request(query, k, exclude[row] if exclude else (), where or {})
            found = self.attempt(partial(self.find, description, request))
            pairs = [(id, self.measure.to_product(value)) for id, value in found]
            pairs.sort(key=lambda pair: -pair[1])
            hits.ids.append([id for id, _ in pairs])
            hits.scores.append([score for _, score in pairs])
        return hits


def newest_first(versions: Sequence[Version]) -> list[Version]:
    return sorted(versions, key=lambda version: version.name, reverse=True)
