"""Words of requests: how texts are split and compared, and the words that steer their reading."""

import re
from typing import NamedTuple

WORD = re.compile(r"\d+(?:st|nd|rd|th|s)\b|[^\W_]+(?:['’.\-][^\W_]+)*", re.UNICODE)
NEGATIONS = frozenset(
    "not no without except excluding never nothing avoid minus isn't aren't don't hate dislike "
    "skip".split()
)
"""Words after which conditions are excluded, up to the next word that ends the clause."""
CLAUSE_ENDS = frozenset("but only with from like by instead rather".split())
LIKED = frozenset("like liked love loved enjoyed watched seen saw enjoy favourite favorite".split())
"""Words after which a title is named, however it is spelled."""
COMPARISONS = frozenset("similar as than after".split())
STOPPED = frozenset(
    "a an the i i'm i'd i've me my we you it its is are was be been am of in on at to for and or "
    "some something anything any movie movies film films show shows title titles one ones please "
    "recommend suggest suggestion suggestions looking want wanted would find give watch good great "
    "that which who with from by like similar than as but not no more just really very can could "
    "do does have has had so maybe tonight evening starring directed about made set there this "
    "these those what when where how recommendations kind kinds sort type like liked love loved "
    "enjoyed watched seen saw enjoy favourite favorite without except instead rather now "
    "today".split()
)
"""Words that carry no wish of their own."""


class Word(NamedTuple):
    """A word of a text and its place there."""

    text: str
    start: int
    end: int

    @property
    def is_capitalised(self) -> bool:
        return self.text[:1].isupper() or self.text[:1].isdigit()


def split_words(text: str) -> list[Word]:
    """Return the words of a text in their order, without punctuation."""
    return [Word(found.group(), *found.span()) for found in WORD.finditer(text)]


def normalise(word: str) -> str:
    """Return a word as it is compared: folded case, without hyphens, dots and possessives."""
    folded = word.casefold().replace("’", "'")
    folded = folded.removesuffix("'s")
    return re.sub(r"[^\w]", "", folded)


def normalise_phrase(text: str) -> tuple[str, ...]:
    """Return the compared words of a text."""
    return tuple(key for key in (normalise(word.text) for word in split_words(text)) if key)


def find_singular(word: str) -> str:
    """Return the singular of an English plural, by its ending; other words as they are."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word
