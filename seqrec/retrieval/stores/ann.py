"""Settings of approximate indexes: ``hnsw:search_breadth=800`` or ``ivf:lists=1000``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from seqrec.errors import SeqRecError

SETTINGS = {
    "hnsw": ("links", "build_breadth", "search_breadth"),
    "ivf": ("lists", "search_lists"),
}
"""Settings of each kind of index."""


@dataclass(frozen=True)
class Ann:
    """An approximate index.

    The defaults are broader than those of the stores, which miss items where the norms of vectors
    differ.
    """

    kind: str
    """``hnsw``, a graph of neighbours, or ``ivf``, lists around centroids."""
    links: int = 32
    """Neighbours of a node of the graph."""
    build_breadth: int = 400
    """Candidates while the graph is built."""
    search_breadth: int = 800
    """Candidates while the graph is searched."""
    lists: int = 0
    """Number of lists; 0: the square root of the number of items."""
    search_lists: int = 0
    """Lists that are read by a search; 0: three quarters of them."""

    @classmethod
    def parse(cls, text: str) -> "Ann":
        """Return the settings of ``KIND:name=number,...``.

        Raises:
            SeqRecError: an unknown kind or setting, or no whole number above 0.
        """
        kind, _, settings = text.partition(":")
        if kind not in SETTINGS:
            raise SeqRecError(f"--ann {text}: choose from {', '.join(SETTINGS)}")
        names = SETTINGS[kind]
        chosen: dict[str, Any] = {}
        for setting in filter(None, settings.split(",")):
            name, _, number = setting.partition("=")
            if name not in names or not number.isascii() or not number.isdigit():
                raise SeqRecError(
                    f"--ann {text}: write {kind}:{names[0]}=NUMBER; its settings are "
                    f"{', '.join(names)}"
                )
            if not 0 < int(number) < 1 << 31:
                raise SeqRecError(f"--ann {text}: {name} is at least 1 and below 2^31")
            chosen[name] = int(number)
        return cls(kind, **chosen)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any] | None) -> "Ann | None":
        """Return the settings that a description holds."""
        return None if settings is None else cls(**settings)

    def to_settings(self) -> dict[str, Any]:
        return asdict(self)

    def resolve(self, num_items: int) -> "Ann":
        """Return the settings with the number of lists that suits a catalog."""
        lists = self.lists or max(1, round(num_items**0.5))
        return replace(self, lists=lists, search_lists=self.search_lists or -(-3 * lists // 4))


def check_kind(ann: Ann | None, label: str, kinds: Sequence[str]) -> None:
    """Refuse a kind of index that a store does not have."""
    if ann is not None and ann.kind not in kinds:
        choices = f"choose from {', '.join(kinds)}" if kinds else "leave out --ann"
        raise SeqRecError(f"--ann {ann.kind}: {label} has no such index; {choices}")
