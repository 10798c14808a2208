"""Data that the page shows beside the models' lists: users of a log, counts, an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seqrec.data.counted_transitions import CountedTransitions
from seqrec.data.log_users import LogUsers
from seqrec.data.prepared import PreparedData

COUNTED_STEPS = 5
"""Distance up to which one title counts as following another."""


@dataclass(frozen=True)
class PageSources:
    """A prepared folder and an evaluation, both optional."""

    prepared: PreparedData | None = None
    evaluation: Mapping[str, Any] | None = None
    """``columns``, ``rows`` of texts, and ``notes``."""

    @cached_property
    def users(self) -> LogUsers | None:
        """The users of the prepared folder."""
        return None if self.prepared is None else LogUsers.read(self.prepared)

    @cached_property
    def counted(self) -> CountedTransitions | None:
        """The transitions of its training part."""
        if self.prepared is None:
            return None
        return CountedTransitions.count(self.prepared, COUNTED_STEPS)

    def warm_up(self) -> None:
        """Read and count what is read and counted once."""
        _ = self.users, self.counted
