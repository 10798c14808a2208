"""The check that a sentence says only what its facts say."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from seqrec.explanations.attributes import Attributes, get_role
from seqrec.explanations.facts import Counted, SentenceFacts
from seqrec.explanations.mentions import Mention, OwnTitles, read_mentions
from seqrec.search.words import normalise, normalise_phrase, split_words

CLAUSE = re.compile(r"[;:]|[.!?](?=\s)|,? (?:while|but|whereas) ")
PAIR = re.compile(r"(\d[\d,]*)\s+(?:out\s+)?of\s+(?:the\s+)?(\d[\d,]*)")
DECADE = re.compile(r"(?:\d\d)?\d0s")
SEEN = frozenset("watched saw seen liked loved enjoyed watching".split())
BETWEEN = frozenset("and or both also the films movies titles as well too like with".split())
"""Words between the titles that somebody watched."""
VERBS = frozenset("is was has comes came fits shares follows brings goes leads led would".split())
"""Words after a title that begins another clause."""
NUMBER_WORDS = {
    word: number
    for number, word in enumerate("two three four five six seven eight nine ten".split(), start=2)
}
ENDS = re.compile(r"[.!?…]+(?=[\s\"'”’)]|$)")


class Problem(NamedTuple):
    """A claim that the facts do not hold."""

    kind: str
    """``title``, ``name``, ``year``, ``number``, ``value``, ``watched``, ``cause`` or
    ``length``."""
    words: str


class Checker:
    """Checks sentences against facts of one catalog."""

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes

    def check(self, text: str, facts: SentenceFacts) -> list[Problem]:
        """Return the claims of a sentence that its facts do not hold.

        Titles, people, genres and other values of columns, years, numbers, counts (in their
        direction), and which titles the user is said to have watched are compared with the facts;
        a name that they do not hold is a problem. At least one cause must be named, in one
        sentence. Other words are not judged.
        """
        titles = {facts.item: facts.title, **{one.item: one.title for one in facts.causes}}
        mentions = read_mentions(text, self.attributes.lexicon, OwnTitles.spell(titles))
        clauses = _split(text, mentions)
        sentence = _Sentence(text, facts, self.attributes, mentions, clauses)
        problems = [problem for mention in mentions if (problem := sentence.judge(mention))]
        problems += sentence.judge_watched()
        problems += sentence.judge_pairs()
        named = {item for one in mentions for item in one.items}
        if facts.causes and not named & {one.item for one in facts.causes}:
            problems.append(Problem("cause", "names no title that contributed"))
        if count_sentences(text, mentions) != 1:
            problems.append(Problem("length", "is not one sentence"))
        return problems


def count_sentences(text: str, mentions: Sequence[Mention] = ()) -> int:
    """Return the number of sentences; stops inside titles and names do not end one."""
    letters = list(text.strip())
    shift = len(text) - len(text.lstrip())
    for one in mentions:
        if one.kind in ("title", "person"):
            start, end = one.start - shift, one.end - shift
            for at in range(start, min(end, len(letters))):
                letters[at] = "_" if letters[at] in ".!?…" else letters[at]
            if "".join(letters[end : end + 1]) in ("!", "?") and end + 1 < len(letters):
                letters[end] = "_"  # a mark that belongs to the title
    plain = "".join(letters)
    ends = len(ENDS.findall(plain))
    rest = ENDS.split(plain)[-1].strip(" \"'”’)")
    return ends + bool(rest)


class _Sentence(NamedTuple):
    """A sentence with its mentions."""

    text: str
    facts: SentenceFacts
    attributes: Attributes
    mentions: Sequence[Mention]
    clauses: Sequence[tuple[int, int]]

    def judge(self, mention: Mention) -> Problem | None:
        """Return what is wrong with one mention."""
        judges = {
            "title": self._judge_title,
            "person": self._judge_person,
            "value": self._judge_value,
            "number": self._judge_number,
            "name": self._judge_name,
            "word": self._judge_word,
        }
        return judges[mention.kind](mention)

    def judge_watched(self) -> list[Problem]:
        """Return titles that the sentence wrongly says were watched, by the user or others."""
        problems, is_seen = [], False
        for number, mention in enumerate(self.mentions):
            word = normalise(mention.text)
            if mention.kind == "title":
                following = self.mentions[number + 1 : number + 2]
                is_subject = bool(following) and normalise(following[0].text) in VERBS
                if is_seen and not is_subject and self.facts.item in mention.items:
                    problems.append(Problem("watched", mention.text))
            elif mention.kind == "word" and word in SEEN:
                before = {normalise(one.text) for one in self.mentions[max(number - 4, 0) : number]}
                is_seen = not before & {"havent", "not", "never"}
            elif mention.kind != "number" and word not in BETWEEN:
                is_seen = False
            if self.text[mention.end : mention.end + 1] in (";", ".", ":"):
                is_seen = False
        return problems

    def judge_pairs(self) -> list[Problem]:
        """Return counts that are no counts of a cause that the clause names."""
        problems = []
        for found in PAIR.finditer(self.text):
            if self._is_inside(found.start()):
                continue
            times, watched = (int(part.replace(",", "")) for part in found.groups())
            items = self._items_of_clause(found.start())
            pairs = [one.counted for one in self.facts.causes if one.item in items]
            if Counted(times, watched) not in pairs:
                problems.append(Problem("number", found.group()))
        return problems

    def _judge_title(self, mention: Mention) -> Problem | None:
        known = {self.facts.item, *(one.item for one in self.facts.causes)}
        return None if known & set(mention.items) else Problem("title", mention.text)

    def _judge_person(self, mention: Mention) -> Problem | None:
        held = self._values_of_clause(mention.start)
        own = [one for one in mention.values if normalise_phrase(one.text) in held[one.column]]
        before = self.text[: mention.start].casefold().rstrip()
        if before.endswith(("directed by", "director")):
            own = [one for one in own if get_role(one.column) == "director"]
        if before.endswith("starring"):
            own = [one for one in own if get_role(one.column) == "actors"]
        is_told = set(normalise_phrase(mention.text)) <= self._told
        return (
            None if own or (is_told and "directed" not in before) else Problem("name", mention.text)
        )

    def _judge_value(self, mention: Mention) -> Problem | None:
        held = self._values_of_clause(mention.start)
        is_held = any(normalise_phrase(one.text) in held[one.column] for one in mention.values)
        is_told = set(normalise_phrase(mention.text)) <= self._told
        return None if is_held or is_told else Problem("value", mention.text)

    def _judge_number(self, mention: Mention) -> Problem | None:
        word = mention.text.casefold().rstrip("'’")
        items = {self.facts.item, *self._items_of_clause(mention.start)}
        years = {self.attributes.get_year(item) for item in items}
        years |= {self.facts.year} - {None}
        if self.text[mention.start - 1 : mention.start] == "(" and word.isdigit():
            before = [one for one in self.mentions if one.end == mention.start - 2]
            if before and before[0].items:  # the year after a title is that title's
                years = {self.attributes.get_year(item) for item in before[0].items}
                return None if int(word) in years else Problem("year", mention.text)
        if DECADE.fullmatch(word):
            decades = {f"{year // 10 * 10}s" for year in years if year}
            is_true = word in decades | {decade[2:] for decade in decades}
            return None if is_true or word in self._told else Problem("year", mention.text)
        plain = word.replace(",", "")
        if plain.isdigit() and int(plain) in years | self._numbers:
            return None
        if normalise(mention.text) in self._told:
            return None
        is_year = plain.isdigit() and 1880 <= int(plain) <= 2100
        return Problem("year" if is_year else "number", mention.text)

    def _judge_name(self, mention: Mention) -> Problem | None:
        return None if normalise(mention.text) in self._told else Problem("name", mention.text)

    def _judge_word(self, mention: Mention) -> Problem | None:
        number = NUMBER_WORDS.get(mention.text.casefold())
        is_wrong = number is not None and number not in self._numbers
        if is_wrong and normalise(mention.text) not in self._told:
            return Problem("number", mention.text)
        return None

    @property
    def _told(self) -> set[str]:
        """The words of texts that the facts hold."""
        texts = (self.facts.about, *self.facts.wishes)
        return {normalise(word.text) for text in texts for word in split_words(text)}

    @property
    def _numbers(self) -> set[int]:
        facts = self.facts
        numbers = {facts.rank, facts.rank_without, facts.rank_alone, facts.num_watched}
        numbers |= {facts.num_interactions, len(facts.causes)}
        for one in facts.causes:
            numbers.add(one.rank_without)
            if one.counted is not None:
                share = 100 * one.counted.times / max(one.counted.watched, 1)
                numbers |= {*one.counted, round(share)}
        return numbers

    def _values_of_clause(self, at: int) -> "_Held":
        """Return the values of the item and of the titles in the clause around a place."""
        return _Held(self.attributes, {self.facts.item, *self._items_of_clause(at)})

    def _items_of_clause(self, at: int) -> set[int]:
        start, end = next(one for one in self.clauses if one[0] <= at < one[1])
        inside = [one for one in self.mentions if start <= one.start < end]
        return {item for one in inside for item in one.items}

    def _is_inside(self, at: int) -> bool:
        """Test whether a place lies within a title."""
        return any(one.kind == "title" and one.start <= at < one.end for one in self.mentions)


class _Held:
    """The values of some items, by column."""

    def __init__(self, attributes: Attributes, items: set[int]) -> None:
        self.found = [attributes.get(item) for item in sorted(items)]

    def __getitem__(self, column: str) -> set[tuple[str, ...]]:
        return {normalise_phrase(value) for one in self.found for value in one.get(column, ())}


def _split(text: str, mentions: Sequence[Mention]) -> list[tuple[int, int]]:
    """Return the ranges of the clauses of a text; marks inside titles end none."""
    starts = [0]
    for found in CLAUSE.finditer(text):
        if not any(one.start <= found.start() <= one.end - 1 for one in mentions):
            starts.append(found.start())
    return list(zip(starts, [*starts[1:], len(text) + 1], strict=True))
