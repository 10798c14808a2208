"""Counts over sentences: their claims, and their forms."""

from collections.abc import Sequence

import numpy as np

from seqrec.explanations.checker import count_sentences
from seqrec.explanations.mentions import OwnTitles, read_mentions
from seqrec.explanations.wording import Explanation
from seqrec.ranking.explained import Explainer

OPENING_WORDS = 4


def judge_sentences(
    name: str, explained: Sequence[Explanation], explainer: Explainer
) -> dict[str, object]:
    """Return shares of sentences without a problem of a kind, lengths, and distinct openings.

    An opening is the first words, with titles and numbers replaced by signs.
    """
    lexicon = explainer.attributes.lexicon
    grounded, unknown, caused, single, words, openings = [], [], [], [], [], set()
    for one in explained:
        problems = {problem.kind for problem in explainer.checker.check(one.sentence, one.facts)}
        titles = {one.facts.item: one.facts.title}
        titles |= {cause.item: cause.title for cause in one.facts.causes}
        mentions = read_mentions(one.sentence, lexicon, OwnTitles.spell(titles))
        grounded.append(not problems - {"length", "cause"})
        unknown.append(bool(problems & {"name", "title"}))
        caused.append("cause" not in problems)
        single.append(count_sentences(one.sentence, mentions) == 1)
        words.append(len(one.sentence.split()))
        signs = {"title": "TITLE", "number": "N"}
        parts = [signs.get(mention.kind, mention.text) for mention in mentions]
        openings.add(" ".join(parts[:OPENING_WORDS]).casefold())
    return {
        "sentences": name,
        "n": len(explained),
        "grounded": float(np.mean(grounded)),
        "unknown names": float(np.mean(unknown)),
        "names a cause": float(np.mean(caused)),
        "one sentence": float(np.mean(single)),
        "words": float(np.mean(words)),
        "openings": len(openings),
    }
