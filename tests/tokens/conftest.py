"""Features to build grammars of."""

from typing import Any

from seqrec.tokens.events.features import Feature


def feature(name: str, **changes: Any) -> Feature:
    """One that follows its title and is the log's rating, 1 to 5, never left open."""
    fields: dict[str, Any] = {
        "source": "column",
        "key": "gap" if changes.get("source") == "time" else "rating",
        "edges": None,
        "values": ("1", "2", "3", "4", "5"),
        "place": "after",
        "dropout": 0.0,
        "is_learned": False,
    }
    return Feature(name=name, **(fields | changes))
