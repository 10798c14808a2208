"""The claims of a sentence: titles, people, values of columns, numbers and other names in it."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from seqrec.search.lexicon import ARTICLE_LAST, Lexicon, Value, list_names
from seqrec.search.words import Word, normalise, normalise_phrase, split_words

Kind = Literal["title", "person", "value", "number", "name", "word"]

TRAILING_YEAR = re.compile(r"\s*\(\d{4}\)$")
MAX_NAME_WORDS = 24
QUOTES = "\"'“”‘’«»"
SMALL = frozenset("a an and as at by de for from in la le of on or the to with vs".split())
"""Words that titles also spell with a small letter."""


class Mention(NamedTuple):
    """A part of a sentence."""

    kind: Kind
    text: str
    start: int
    end: int
    items: tuple[int, ...] = ()
    """Rows of the items with this title."""
    values: tuple[Value, ...] = ()
    """Values or people of this name."""


class OwnTitles(NamedTuple):
    """The titles that a sentence may be about."""

    rows: Mapping[tuple[str, ...], int]
    """Rows of the catalog by the words of all spellings."""
    spellings: frozenset[str]

    @classmethod
    def spell(cls, titles: Mapping[int, str]) -> "OwnTitles":
        """Return titles in all their spellings; a whole title counts before a part of another."""
        rows: dict[tuple[str, ...], int] = {}
        names = [
            (row, (title, say_title(title), *list_names(title))) for row, title in titles.items()
        ]
        for row, spelled in names:
            rows.setdefault(normalise_phrase(spelled[0]), row)
        for row, spelled in names:
            for name in spelled:
                rows.setdefault(normalise_phrase(name), row)
        rows.pop((), None)
        return cls(rows, frozenset(name for _, spelled in names for name in spelled))


NO_TITLES = OwnTitles({}, frozenset())


def read_mentions(text: str, lexicon: Lexicon, own: OwnTitles = NO_TITLES) -> list[Mention]:
    """Return all parts of a sentence in order; the longest name at a place counts.

    A name of the catalog that is one word is read as a title only in quotes, or with a year after
    it, since most such words are words; an own one if it is spelled like it, or capitalised.

    Args:
        text: the sentence.
        lexicon: the names of the catalog.
        own: the titles that the sentence may be about.
    """
    words, mentions, at = split_words(text), [], 0
    longest = max([lexicon.max_words, *map(len, own.rows)], default=1)
    while at < len(words):
        found, used = None, 1
        for size in range(min(longest, MAX_NAME_WORDS, len(words) - at), 0, -1):
            found = _read_name(text, words[at : at + size], lexicon, own)
            if found is not None:
                used = size
                break
        if found is None:
            found = _read_word(words[at])
        mentions.append(found)
        at += used
    return [
        one._replace(kind="word") if _begins_alone(text, mentions, number) else one
        for number, one in enumerate(mentions)
    ]


def say_title(title: str) -> str:
    """Return a title as a sentence has it: an article that stands last moves to the front."""
    name, year = title, ""
    found = TRAILING_YEAR.search(title)
    if found:
        name, year = title[: found.start()], found.group()
    moved = ARTICLE_LAST.match(name)
    return f"{moved['article']} {moved['name']}{year}" if moved else title


def _read_name(
    text: str, words: Sequence[Word], lexicon: Lexicon, own: OwnTitles
) -> Mention | None:
    """Return the title, person or value that some words are; None if they are none."""
    key = tuple(filter(None, (normalise(word.text) for word in words)))
    start, end = words[0].start, words[-1].end
    part = text[start:end]
    is_spelled = all(word.is_capitalised or normalise(word.text) in SMALL for word in words)
    is_spelled = is_spelled and any(word.is_capitalised for word in words)
    if key in own.rows and (is_spelled or part in own.spellings or len(words) > 2):
        return Mention("title", part, start, end, (own.rows[key],))
    rows = lexicon.titles.get(key)
    is_quoted = text[max(start - 1, 0) : start] in tuple(QUOTES) and text[end : end + 1] in QUOTES
    has_year = text[end : end + 2] == " (" and text[end + 2 : end + 6].isdigit()
    if rows and (is_quoted or has_year or (is_spelled and len(words) > 1)):
        return Mention("title", part, start, end, tuple(rows))
    if key in lexicon.people and is_spelled:
        return Mention("person", part, start, end, values=tuple(lexicon.people[key]))
    if key in lexicon.values:
        return Mention("value", part, start, end, values=(lexicon.values[key],))
    return None


def _read_word(word: Word) -> Mention:
    """Return a word as a number, a name or a plain word."""
    kind: Kind = "word"
    if word.text[0].isdigit():
        kind = "number"
    elif word.is_capitalised and word.text not in ("I", "I'm", "I've", "I'd"):
        kind = "name"
    return Mention(kind, word.text, word.start, word.end)


def _begins_alone(text: str, mentions: Sequence[Mention], number: int) -> bool:
    """Test whether a capitalised word is the first of a sentence, and no part of a longer name."""
    one = mentions[number]
    before = text[: one.start].rstrip(f" {QUOTES}([")
    if one.kind != "name" or (before and before[-1] not in ".!?"):
        return False
    following = mentions[number + 1 : number + 2]
    return not following or following[0].kind != "name" or following[0].start != one.end + 1
