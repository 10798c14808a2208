"""A small catalog with people, genres and plots, and facts about one of its items."""

import polars as pl
import pytest

from seqrec.explanations.attributes import Attributes
from seqrec.explanations.checker import Checker
from seqrec.explanations.facts import Cause, Counted, SentenceFacts
from seqrec.search.lexicon import Lexicon

ITEMS = pl.DataFrame(
    [
        ("Heat (1995)", ["Action", "Crime"], 1995, "Michael Mann", "Al Pacino, Robert De Niro"),
        ("Ronin (1998)", ["Action", "Crime"], 1998, "John Frankenheimer", "Robert De Niro"),
        ("Matrix, The (1999)", ["Action", "Sci-Fi"], 1999, "Lana Wachowski", "Keanu Reeves"),
        ("Big (1988)", ["Comedy"], 1988, "Penny Marshall", "Tom Hanks"),
        ("Toy Story (1995)", ["Comedy", "Children's"], 1995, "John Lasseter", "Tom Hanks"),
        ("Toy Story 2 (1999)", ["Comedy", "Children's"], 1999, "John Lasseter", "Tom Hanks"),
        ("Dr. Strangelove (1963)", ["Comedy", "War"], 1963, "Stanley Kubrick", "Peter Sellers"),
        ("<script>alert(1)</script> (1990)", ["Horror"], 1990, "Michael Mann", "Al Pacino"),
    ],
    schema=["title", "genres", "year", "director", "actors"],
    orient="row",
).with_columns(
    item_id=pl.Series([f"m{row}" for row in range(8)]),
    num_interactions=pl.Series([300, 120, 400, 90, 500, 200, 80, 5]),
)


def cause(row, *, counted=None, shared=None, rank_without=7):
    title = ITEMS["title"][row]
    return Cause(row, f"m{row}", title, rank_without, 2.5, counted, shared or {})


@pytest.fixture(scope="session")
def attributes():
    return Attributes(Lexicon.build(ITEMS))


@pytest.fixture(scope="session")
def checker(attributes):
    return Checker(attributes)


@pytest.fixture
def facts(attributes):
    """Ronin, because of Heat (41 of 300 went on to it) and The Matrix."""
    shared = attributes.share(1, 0)
    return SentenceFacts(
        item=1,
        title="Ronin (1998)",
        rank=1,
        causes=(cause(0, counted=Counted(41, 300), shared=shared), cause(2, rank_without=2)),
        rank_without=19,
        rank_alone=3,
        num_watched=12,
        num_interactions=120,
        about="A freelancing former agent hunts a case near Nice. Deirdre hires him.",
        attributes=attributes.get(1),
        year=1998,
    )
