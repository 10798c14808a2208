"""Requests in words: what they name, what they demand, what they reject, and what is left."""

import polars as pl
import pytest

from seqrec.data.item_table import ItemTable
from seqrec.search.compile import compile_request
from seqrec.search.lexicon import Lexicon, list_names
from seqrec.search.reading import Condition

FILMS = [
    ("1", "Heat (1995)", ["Action", "Crime"], 1995, 170, ["Al Pacino"], "Michael Mann"),
    ("2", "Matrix, The (1999)", ["Sci-Fi"], 1999, 136, ["Keanu Reeves"], "Lana Wachowski"),
    ("3", "Toy Story (1995)", ["Animation", "Comedy"], 1995, 81, ["Tom Hanks"], "John Lasseter"),
    ("4", "Titanic (1953)", ["Drama", "Romance"], 1953, 98, ["Barbara Stanwyck"], "Jean Negulesco"),
    ("5", "Titanic (1997)", ["Drama", "Romance"], 1997, 194, ["Kate Winslet"], "James Cameron"),
    ("6", "Seven (Se7en) (1995)", ["Crime"], 1995, 127, ["Brad Pitt"], "David Fincher"),
    ("7", "Big (1988)", ["Comedy"], 1988, 104, ["Tom Hanks"], "Penny Marshall"),
    ("8", "That Thing You Do! (1996)", ["Comedy"], 1996, 108, ["Liv Tyler"], "Tom Hanks"),
    ("9", "Comedy", ["Drama"], 1970, 90, ["Some One"], "No Body"),
    ("10", "O'Brien <script>alert(1)</script>", ["Drama"], 1980, 80, ["A B"], "C D"),
]


@pytest.fixture(scope="module")
def lexicon():
    names = ["item_id", "title", "genres", "year", "runtime", "actors", "director"]
    items = pl.DataFrame(FILMS, schema=names, orient="row")
    more = [name for name in ("Horror", "Musical", "Western", "Documentary", "Children's")]
    extra = pl.DataFrame(
        {
            "item_id": [str(100 + n) for n in range(2 * len(more))],
            "title": [f"Untitled {n}" for n in range(2 * len(more))],
            "genres": [[genre] for genre in more for _ in range(2)],
            "year": [1950 + n for n in range(2 * len(more))],
            "runtime": [95] * 2 * len(more),
            "actors": [["X Y"]] * 2 * len(more),
            "director": ["Z Z"] * 2 * len(more),
        }
    )
    counts = pl.Series("num_interactions", range(len(items) + len(extra), 0, -1))
    return Lexicon.build(pl.concat([items, extra]).with_columns(counts))


def read(text, lexicon, **more):
    return compile_request(text, lexicon, **more)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a comedy from the 90s", "genres contains 'Comedy' AND year >= 1990 AND year <= 1999"),
        ("comedies", "genres contains 'Comedy'"),
        ("science fiction before 1980", "genres contains 'Sci-Fi' AND year < 1980"),
        ("something from 1995", "year = 1995"),
        ("since the nineties", "year >= 1990"),
        ("after the 1980s", "year > 1989"),
        ("between 1990 and 1995", "year >= 1990 AND year <= 1995"),
        ("not horror", "NOT (genres contains 'Horror')"),
        (
            "no comedies, dramas or westerns, but something with music",
            "NOT (genres contains 'Comedy') AND NOT (genres contains 'Drama') AND "
            "NOT (genres contains 'Western')",
        ),
        ("don't want horror; want a musical", None),
        ("I hate horror, show me a musical", None),
        ("a film for kids", "genres contains 'Children''s'"),
        ("with Tom Hanks", "actors contains 'Tom Hanks'"),
        ("directed by Tom Hanks", "director contains 'Tom Hanks'"),
        ("Tom Hanks", "actors contains 'Tom Hanks'"),
        ("under 90 minutes", "runtime <= 90"),
        ("at least, longer than two hours", "runtime >= 120"),
    ],
)
def test_what_is_named_becomes_conditions(text, where, lexicon):
    reading = read(text, lexicon)
    wanted = where or "NOT (genres contains 'Horror') AND genres contains 'Musical'"
    assert reading.where == wanted
    ItemTable.build(lexicon.items).select_where(wanted)  # the conditions can be executed


@pytest.mark.parametrize(
    ("text", "liked"),
    [
        ("I loved The Matrix and Toy Story", ["2", "3"]),
        ("something like heat", ["1"]),
        ("like Se7en", ["6"]),
        ("Titanic (1953)", ["4"]),
        ("I saw Titanic", ["4"]),  # the more watched one of the two
        ("it was big and heat was on", []),  # ordinary words
        ("a big comedy", []),
        ('"Big"', ["7"]),
        ("I enjoyed that thing you do", ["8"]),
        ("comedy", []),  # a genre, and a title too
        ('I watched "Comedy"', ["9"]),
    ],
)
def test_titles_become_a_history_only_where_they_are_named(text, liked, lexicon):
    assert list(read(text, lexicon).items) == liked


def test_titles_that_are_named_like_genres_are_told_apart_by_quotes_and_years():
    """Two titles of one such name: the year says which, and a bare name is the genre."""
    names = ["Comedy (1970)", "Comedy (1999)", "Drama (1980)", "Heat (1995)"]
    genres = [["Drama"], ["Comedy"], ["Comedy"], ["Drama"]]
    items = pl.DataFrame(
        {
            "item_id": list("abcd"),
            "title": names,
            "genres": genres,
            "year": [1970, 1999, 1980, 1995],
            "num_interactions": [3, 9, 5, 7],
        }
    )
    lexicon = Lexicon.build(items)
    both = read("like Comedy (1970), but not Drama (1980)", lexicon)
    assert both.items == ("a",) and both.excluded_items == ("c",) and both.where is None
    assert read('I loved "Comedy" and "Drama"', lexicon).items == ("b", "c")
    for text in ("I liked Comedy and Drama", "comedy, drama"):
        genre = read(text, lexicon)
        assert genre.where == "genres contains 'Comedy' AND genres contains 'Drama'"
        assert not genre.items
    mixed = read('a drama like "Comedy"', lexicon)
    assert mixed.items == ("b",) and mixed.where == "genres contains 'Drama'"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("something by hitchcock", "director contains 'Alfred Hitchcock'"),
        ("a Hitchcock film", "director contains 'Alfred Hitchcock'"),
        ("with Stewart", "actors contains 'James Stewart'"),
        ("no Hitchcock movies", "NOT (director contains 'Alfred Hitchcock')"),
        ("drawn by hand", None),
        ("a film with stewart", None),  # "with" stands before ordinary words, too
    ],
)
def test_a_family_name_means_who_has_several_items(text, where):
    items = pl.DataFrame(
        {
            "item_id": [str(n) for n in range(8)],
            "title": [f"Untitled {n}" for n in range(8)],
            "director": ["Alfred Hitchcock"] * 5 + ["Bob Hand", "Ann Hitchcock", "C D"],
            "actors": [["James Stewart", "X Y"]] * 5 + [["Patrick Stewart"]] * 3,
        }
    )
    assert read(text, Lexicon.build(items)).where == where


def test_rejected_titles_are_excluded(lexicon):
    reading = read("a drama, but nothing like Titanic (1997)", lexicon)
    assert reading.items == () and reading.excluded_items == ("5",)
    assert reading.where == "genres contains 'Drama'"


def test_relative_wishes_compare_with_what_is_named_or_shown(lexicon):
    assert read("like Heat, but older", lexicon).where == "year < 1995"
    assert read("something shorter than Titanic (1953)", lexicon).where == "runtime < 98"
    assert read("something newer", lexicon, shown=[6, 2]).where == "year > 1995"
    alone = read("something older", lexicon)
    assert alone.where is None and alone.notes == ("not understood: older than what",)


def test_soft_words_stay_and_words_without_a_wish_go(lexicon):
    reading = read("I want something light and funny for a Tuesday evening, please", lexicon)
    assert reading.text == "light and funny for a Tuesday"
    assert reading.where == "genres contains 'Comedy'"
    assert read("a light film for a Tuesday", lexicon).where is None
    assert read("not funny", lexicon).where == "NOT (genres contains 'Comedy')"
    assert not read("not funny", lexicon).text
    assert read("please recommend some movies", lexicon).describe() == "no wish"
    assert read("a documentary, not boring", lexicon).notes == ("not understood: not boring",)


def test_a_conversation_refines_its_reading(lexicon):
    first = read("a comedy from the 90s like Toy Story", lexicon)
    older = read("something older, more like the second", lexicon, previous=first, shown=[7, 6])
    assert older.items == ("3", "7")
    assert older.where == "genres contains 'Comedy' AND year >= 1990 AND year < 1988"
    without = read("not that one", lexicon, previous=first, shown=[7, 6])
    assert without.excluded_items == ("8",) and without.where == first.where
    drama = read("a drama instead", lexicon, previous=first)
    assert drama.where == "year >= 1990 AND year <= 1999 AND genres contains 'Drama'"
    now = read("no comedy", lexicon, previous=first)
    assert now.where == "year >= 1990 AND year <= 1999 AND NOT (genres contains 'Comedy')"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "?!",
        "x" * 100_000,
        "ignore all conditions'); DROP TABLE items; --",
        "<script>alert(1)</script>",
        "show me O'Brien' OR '1'='1",
        "смешной фильм на вечер 🎬",
        "面白い映画",
        "not not not no without",
        "between 1990 and",
        "under 90",
        "before the",
    ],
)
def test_odd_requests_give_a_reading_that_can_be_executed(text, lexicon):
    reading = read(text, lexicon)
    for condition in reading.conditions:
        assert condition.column in lexicon.items.columns
    if reading.where is not None:
        ItemTable.build(lexicon.items).select_where(reading.where)
    assert len(reading.text) <= 2_000


def test_years_that_are_kept_as_text_are_years(lexicon):
    items = lexicon.items.with_columns(release_year=pl.col("year").cast(pl.String)).drop("year")
    reading = read("a comedy from the 90s, older than Toy Story (1995)", Lexicon.build(items))
    assert reading.where == (
        "genres contains 'Comedy' AND release_year >= 1990 AND release_year <= 1999 AND "
        "release_year < 1995"
    )
    assert not ItemTable.build(items).select_where(reading.where).any()
    other = read("a comedy since the 80s", Lexicon.build(items)).where
    assert ItemTable.build(items).select_where(other).sum() == 3


def test_quotes_in_values_are_escaped():
    condition = Condition("title", "contains", "O'Brien' OR '1'='1")
    table = ItemTable.build(pl.DataFrame({"item_id": ["1"], "title": ["O'Brien"]}))
    assert not table.select_where(condition.where).any()
    assert Condition("two words", "=", 3).where == '"two words" = 3'


def test_titles_have_the_spellings_that_people_use():
    assert list_names("Postman, The (Postino, Il) (1994)") == [
        "Postman, The",
        "Postino, Il",
        "The Postman",
        "Postman",
        "Il Postino",
        "Postino",
    ]
    assert list_names("Heat (1995)") == ["Heat"]


def test_a_rare_separator_does_not_split_the_values_of_a_column():
    moods = ["calm"] * 12 + ["tense"] * 11 + ["calm, cool"] * 2
    items = pl.DataFrame({"item_id": [str(n) for n in range(25)], "mood": moods})
    values = {value.text for value in Lexicon.build(items).values.values()}
    assert values == {"calm", "tense", "calm, cool"}
    often = items.with_columns(
        mood=pl.Series(["calm", "tense", "calm, cool", "cool"] * 6 + ["calm"])
    )
    values = {value.text for value in Lexicon.build(often).values.values()}
    assert values == {"calm", "tense", "cool"}


def test_any_name_of_a_column_is_one_name_in_sql():
    condition = Condition('a"b', "contains", "it's")
    assert condition.where == "\"a\"\"b\" contains 'it''s'"


def test_words_of_degree_are_no_wish(lexicon):
    """The rest of a negation is named once, without them."""
    assert read("a comedy, not too horror", lexicon).notes == ()
    assert read("a comedy, not too zany", lexicon).notes == ("not understood: not zany",)
