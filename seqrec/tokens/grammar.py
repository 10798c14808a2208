"""The event grammar: what a history says beside its titles, as tokens around each title.

An event is a block of tokens of one size: its title, what is told after it, and what is told
before the next title::

    <item:318> <rating=5> <gap=1d..7d> <want_rating=?>

The next title is predicted from the last token of a block. Nothing between a title and the next
one comes from the next event, but for behaviours that are placed before their title.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.errors import SeqRecError

OPEN = 0
"""Code of a behaviour of which nothing is said."""
OPEN_WORD = "?"


@dataclass(frozen=True)
class Behaviour:
    """One thing that is told of every event."""

    name: str
    source: Literal["column", "item", "time"]
    key: str
    """The column, or what is made of times."""
    edges: tuple[float, ...] | None
    """Of buckets; None where every value stands for itself."""
    values: tuple[str, ...]
    """What it may be, as tokens spell it; code ``1 + place``."""
    place: Literal["after", "before"]
    dropout: float
    is_learned: bool

    @property
    def words(self) -> list[str]:
        """Its tokens, the open one first."""
        return [f"<{self.name}={quote(value, safe='.?-')}>" for value in (OPEN_WORD, *self.values)]

    @property
    def num_codes(self) -> int:
        """Its values, and the open one."""
        return 1 + len(self.values)

    def code_of(self, value: Any) -> int | None:
        """The code of a value as somebody says it; None if it has none.

        A number falls into its bucket, where there are buckets.
        """
        if self.edges is not None:
            try:
                number = float(value)
            except (TypeError, ValueError):
                return None
            return int(bucket_codes(np.array([number]), self.edges)[0])
        text = value_text(value)
        return 1 + self.values.index(text) if text in self.values else None


@dataclass(frozen=True)
class Grammar:
    """All behaviours, in the order of their tokens."""

    behaviours: tuple[Behaviour, ...]
    has_target_time: bool

    @property
    def block_size(self) -> int:
        """Tokens of an event."""
        return 1 + len(self.behaviours)

    @property
    def after(self) -> list[int]:
        """Places of the behaviours that follow their title."""
        return [n for n, behaviour in enumerate(self.behaviours) if behaviour.place == "after"]

    @property
    def before(self) -> list[int]:
        """Places of those that stand before it."""
        return [n for n, behaviour in enumerate(self.behaviours) if behaviour.place == "before"]

    @property
    def words(self) -> list[str]:
        """The tokens of all behaviours."""
        return [word for behaviour in self.behaviours for word in behaviour.words]

    @property
    def first_code(self) -> Int[np.ndarray, " C"]:
        """Of every behaviour, the place of its open token among all words."""
        sizes = [behaviour.num_codes for behaviour in self.behaviours]
        return np.cumsum([0, *sizes[:-1]])

    def place_of(self, name: str) -> int:
        """The place of a behaviour.

        Raises:
            SeqRecError: there is none of that name.
        """
        names = [behaviour.name for behaviour in self.behaviours]
        if name not in names:
            raise SeqRecError(f"behaviour {name}: the model knows {', '.join(names)}")
        return names.index(name)

    def to_dict(self) -> dict[str, Any]:
        """For ``config.json``."""
        return {
            "behaviours": [
                {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(one).items()}
                for one in self.behaviours
            ],
            "has_target_time": self.has_target_time,
        }

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Grammar":
        """What ``to_dict`` wrote."""
        behaviours = []
        for one in fields["behaviours"]:
            edges = one["edges"]
            behaviours.append(
                Behaviour(
                    **{
                        **one,
                        "edges": None if edges is None else tuple(edges),
                        "values": tuple(one["values"]),
                    }
                )
            )
        return cls(tuple(behaviours), fields["has_target_time"])


def value_text(value: Any) -> str:
    """A value as tokens spell it: whole numbers without a fraction."""
    if isinstance(value, int | float | np.number):
        return f"{float(value):g}"
    return str(value)


def bucket_names(edges: Sequence[float]) -> list[str]:
    """``..e0``, ``e0..e1``, ..., ``eN..``."""
    texts = [f"{edge:g}" for edge in edges]
    pairs = [f"{a}..{b}" for a, b in zip(texts[:-1], texts[1:], strict=True)]
    return [f"..{texts[0]}", *pairs, f"{texts[-1]}.."]


def bucket_codes(values: Float[np.ndarray, " N"], edges: Sequence[float]) -> Int[np.ndarray, " N"]:
    """The code of each number's bucket; open where it is missing."""
    codes = 1 + np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), OPEN, codes)


def value_codes(values: np.ndarray, known: Sequence[str]) -> Int[np.ndarray, " N"]:
    """The code of each number or word; open where it is missing or unknown."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    unique, inverse = np.unique(values, return_inverse=True)
    code = {text: 1 + place for place, text in enumerate(known)}
    is_missing = [value == "" or value != value for value in unique.tolist()]
    codes = [
        OPEN if missing else code.get(value_text(value), OPEN)
        for value, missing in zip(unique.tolist(), is_missing, strict=True)
    ]
    return np.array(codes, dtype=np.int64)[inverse.reshape(-1)]


NO_TIME = np.iinfo(np.int64).min
MICROSECONDS = 1_000_000


def time_values(
    times: Int[np.ndarray, " N"], is_first: Bool[np.ndarray, " N"], kind: str
) -> Float[np.ndarray, " N"]:
    """Numbers made of times; NaN where they are missing, and of a user's first event's gap.

    Args:
        times: microseconds since 1970.
        is_first: whether an event is its user's first.
        kind: ``gap``: seconds since the event before; ``hour``; ``weekday``, Monday 0; UTC.
    """
    is_known = times != NO_TIME
    seconds = np.where(is_known, times, 0) / MICROSECONDS
    if kind == "hour":
        found = seconds // 3600 % 24
    elif kind == "weekday":
        found = (seconds // 86400 + 3) % 7
    else:
        found = np.diff(seconds, prepend=0.0)
        is_known = is_known & ~is_first & np.roll(is_known, 1)
    return np.where(is_known, found, np.nan)
