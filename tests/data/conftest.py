"""A source prepared in one call, as the job does it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seqrec.data.log.columns import Columns
from seqrec.data.log.sources import read_source
from seqrec.data.preparation.filters import Filters
from seqrec.data.preparation.interactions import Interactions, prepare_interactions
from seqrec.data.preparation.writing import write_prepared
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import parse_split


@pytest.fixture
def interactions() -> Callable[..., Interactions]:
    """The interactions of a source."""

    def of(source, split_by="leave-one-out", columns=None, format=None, **filters) -> Interactions:
        log = read_source(source, columns=columns, format=format)
        return prepare_interactions(log, Filters(**filters), parse_split(split_by))

    return of


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., PreparedData]:
    """The prepared folder of a source."""

    def of(source, split_by="leave-one-out", columns=None, targets="last", **kept) -> PreparedData:
        log = read_source(source, columns=columns or Columns())
        filters, split = Filters(**kept), parse_split(split_by, targets)
        folder = tmp_path / "prepared"
        folder.mkdir()
        found = prepare_interactions(log, filters, split)
        write_prepared(folder, found, source="log", log=log, filters=filters, split_by=split)
        return PreparedData.open(folder)

    return of
