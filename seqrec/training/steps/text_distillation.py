"""Distillation on text: a language model learns the next-token distribution of another."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from seqrec.losses.divergence import DivergenceKind, catalog_divergence
from seqrec.losses.softmax import CatalogScores
from seqrec.losses.teachers import TopKDistribution
from seqrec.losses.top_k_divergence import top_k_divergence
from seqrec.training.steps.text import TextTensors, word_scores

TOP_K_CHUNK = 128


def text_distillation_loss(
    model: Any,
    batch: TextTensors,
    *,
    teacher: Any,
    num_words: int,
    kind: DivergenceKind,
    share: float,
    temperature: float,
    label_share: float,
) -> Float[Tensor, ""]:
    """The mean divergence from a teacher at the learned tokens, and their cross-entropy.

    Args:
        model: the student.
        batch: packed texts.
        teacher: a causal language model that reads packed texts.
        num_words: rows of both heads that are words; rows beyond them pad a table.
        kind: the divergence.
        share: the teacher's share of the mixture of ``jensen_shannon``.
        temperature: divides the logits of both.
        label_share: share of the loss that is cross-entropy.
    """
    with torch.no_grad():
        theirs = word_scores(teacher.to(batch.input_ids.device), batch)
    return catalog_divergence(
        first_words(word_scores(model, batch), num_words),
        [first_words(theirs, num_words)],
        kind=kind,
        share=share,
        temperature=temperature,
        labels=batch.labels,
        label_share=label_share,
        row_weight=batch.label_weight,
        total_weight=batch.total_weight,
    )


def cached_text_distillation_loss(
    model: Any, batch: TextTensors, *, cache: "TextTopK", num_words: int, label_share: float
) -> Float[Tensor, ""]:
    """``text_distillation_loss`` by forward KL from the teacher's most likely tokens.

    Args:
        model: the student.
        batch: packed texts.
        cache: the teacher's answers.
        num_words: rows of the head that are words.
        label_share: share of the loss that is cross-entropy.
    """
    return top_k_divergence(
        first_words(word_scores(model, batch), num_words),
        cache.get(batch),
        labels=batch.labels,
        label_share=label_share,
        row_weight=batch.label_weight,
        total_weight=batch.total_weight,
    )


def first_words(scores: CatalogScores, num_words: int) -> CatalogScores:
    """Return scores of the first rows of a head alone."""
    return CatalogScores(scores.hidden, scores.item_weight[:num_words])


class TextTopK:
    """A teacher's most likely tokens at every target of some examples, in memory."""

    def __init__(self, k: int) -> None:
        self.k = k
        self._parts: dict[int, TopKDistribution] = {}

    @torch.no_grad()
    def fill(self, teacher: Any, num_words: int, batches: Iterable[TextTensors]) -> None:
        """Store the teacher's answers to some batches."""
        for batch in batches:
            scores = first_words(word_scores(teacher, batch), num_words)
            chunks = [
                _top_k(CatalogScores(hidden, scores.item_weight), self.k)
                for hidden in scores.hidden.split(TOP_K_CHUNK)
            ]
            whole = TopKDistribution(*(torch.cat(part) for part in zip(*chunks, strict=True)))
            for number, rows in _rows_by_example(batch):
                items, log_prob, tail_mass = (part[rows].cpu() for part in whole)
                self._parts[number] = TopKDistribution(items.int(), log_prob.half(), tail_mass)

    def get(self, batch: TextTensors) -> TopKDistribution:
        """Return the teacher's answers to a batch."""
        parts = [self._parts[number] for number, _ in _rows_by_example(batch)]
        items, log_prob, tail_mass = (torch.cat(part) for part in zip(*parts, strict=True))
        device = batch.input_ids.device
        return TopKDistribution(
            items.long().to(device), log_prob.float().to(device), tail_mass.to(device)
        )


def _top_k(scores: CatalogScores, k: int) -> TopKDistribution:
    logits = (scores.hidden @ scores.item_weight.T.to(scores.hidden.dtype)).float()
    log_prob, items = logits.log_softmax(dim=1).topk(min(k, logits.shape[1]))
    listed = log_prob.exp().sum(dim=1)
    return TopKDistribution(items, log_prob, (1 - listed).clamp_min(0))


def _rows_by_example(batch: TextTensors) -> list[tuple[int, Tensor]]:
    """Return the number of every example of a batch, and its targets' rows, in order."""
    document = batch.documents[0, batch.targets_at]
    numbers = batch.numbers.tolist()
    return [(numbers[one], (document == one + 1).nonzero()[:, 0]) for one in range(len(numbers))]
