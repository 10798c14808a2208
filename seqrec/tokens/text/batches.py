"""Batches of texts: one row of tokens without padding, cut into segments."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seqrec.tokens.streams.batches import Array
from seqrec.tokens.text.examples import TextExample, TextPair


class Segment(NamedTuple):
    """Tokens that read each other, and those of a segment before them."""

    start: int
    end: int
    prefix_start: int
    """The segment that is read, too; empty for a text of its own."""
    prefix_end: int


class TextBatch(NamedTuple, Generic[Array]):
    """Texts side by side."""

    input_ids: Int[Array, "1 N"]
    position_ids: Int[Array, "1 N"]
    documents: Int[Array, "1 N"]
    """Number of the text, from 1."""
    segments: tuple[Segment, ...]
    targets_at: Int[Array, " M"]
    """Positions whose next token is learned."""
    labels: Int[Array, " M"]
    label_weight: Float[Array, " M"]
    total_weight: float
    """The divisor of sums over targets."""
    numbers: Int[Array, " E"]
    """Numbers of the texts in their data."""

    @property
    def num_targets(self) -> int:
        """Positions that go through the head."""
        return len(self.labels)  # type: ignore[arg-type]


class TextPairBatch(NamedTuple, Generic[Array]):
    """Prompts with two answers each, which read the prompt and not each other."""

    input_ids: Int[Array, "1 N"]
    position_ids: Int[Array, "1 N"]
    documents: Int[Array, "1 N"]
    """Number of the pair, from 1."""
    segments: tuple[Segment, ...]
    targets_at: Int[Array, " M"]
    labels: Int[Array, " M"]
    answers: Int[Array, " M"]
    """The answer of each target: 3 times the pair's number, plus 0 for the chosen answer, 1 for the
    rejected one, 2 for an unrelated one."""
    lengths: Int[Array, "P 3"]
    """Tokens of each answer; 0 for one that is missing."""
    pairs: Int[Array, " P"]
    """Numbers of the pairs in their data."""
    pair_weight: Float[Array, " P"]
    total_pair_weight: float
    """The divisor of sums over pairs: the sum of their weights."""

    @property
    def num_targets(self) -> int:
        """Positions that go through the head."""
        return len(self.labels)  # type: ignore[arg-type]


def batch_texts(examples: Sequence[TextExample], numbers: Sequence[int]) -> TextBatch[np.ndarray]:
    """Return texts as a batch.

    Args:
        examples: the tokens of every text.
        numbers: the texts' numbers in their data.
    """
    ends = np.cumsum([len(one.tokens) for one in examples]).tolist()
    starts = [0, *ends[:-1]]
    tokens = np.concatenate([one.tokens for one in examples])
    weight = np.concatenate([np.append(one.weight[1:], 0) for one in examples])
    places = weight.nonzero()[0]
    return TextBatch(
        tokens[None],
        np.concatenate([np.arange(len(one.tokens)) for one in examples])[None],
        _numbers(starts, ends),
        tuple(Segment(start, end, start, start) for start, end in zip(starts, ends, strict=True)),
        places,
        tokens[np.minimum(places + 1, len(tokens) - 1)],
        weight[places].astype(np.float32),
        float(weight.sum()),
        np.array(numbers),
    )


def batch_pairs(
    pairs: Sequence[TextPair], numbers: Sequence[int], others: Sequence[TextPair] = ()
) -> TextPairBatch[np.ndarray]:
    """Return pairs as a batch.

    Args:
        pairs: the tokens of every pair.
        numbers: the pairs' numbers in their data.
        others: by option, for every pair another one, whose answer is an unrelated one to its
            prompt.
    """
    parts: dict[str, list[Any]] = {key: [] for key in ("ids", "at", "labels", "answers", "place")}
    segments, bounds, lengths, end = [], [], [], 0
    for number, pair in enumerate(pairs):
        first, size = end, len(pair.prompt)
        end += size
        segments.append(Segment(first, end, first, first))
        parts["ids"].append(pair.prompt)
        parts["place"].append(np.arange(size))
        unrelated = pair.chosen[:0]
        if others:
            unrelated = (
                others[number].chosen if len(others[number].chosen) else others[number].rejected
            )
        sides = (pair.chosen, pair.rejected, unrelated)
        lengths.append([len(answer) for answer in sides])
        for side, answer in enumerate(sides):
            if not len(answer):
                continue
            start, end = end, end + len(answer)
            segments.append(Segment(start, end, first, first + size))
            parts["ids"].append(answer)
            parts["place"].append(np.arange(size, size + len(answer)))
            parts["at"].append(np.append(first + size - 1, np.arange(start, end - 1)))
            parts["labels"].append(answer)
            parts["answers"].append(np.full(len(answer), 3 * number + side))
        bounds.append((first, end))
    joined = {key: np.concatenate(values) for key, values in parts.items()}
    starts, ends = zip(*bounds, strict=True)
    return TextPairBatch(
        joined["ids"][None],
        joined["place"][None],
        _numbers(starts, ends),
        tuple(segments),
        joined["at"],
        joined["labels"],
        joined["answers"],
        np.array(lengths),
        np.array(numbers),
        np.array([pair.weight for pair in pairs], dtype=np.float32),
        sum(pair.weight for pair in pairs),
    )


def _numbers(starts: Sequence[int], ends: Sequence[int]) -> Int[np.ndarray, "1 N"]:
    lengths = np.subtract(ends, starts)
    return np.repeat(np.arange(1, len(lengths) + 1), lengths)[None]
