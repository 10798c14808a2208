"""Losses of pairs of texts are those of the formulas, with log-probabilities of plain passes."""

import math
from functools import partial

import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.losses.preference import ipo, simpo
from seqrec.models.document_attention import require_document_attention
from seqrec.tokens.text.batches import batch_pairs
from seqrec.tokens.text.examples import ExampleEncoder
from seqrec.training.steps.text_preference import TextReference, text_preference_loss
from seqrec.training.tensors import as_tensors
from tests.language import build_byte_tokenizer, tiny_llama

PAIRS = [
    {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5, or so I think"},
    {"prompt": "The capital of France is", "chosen": " Paris", "rejected": " Rome"},
]
BETA, GAMMA = 0.4, 0.7


@torch.no_grad()
def mean_log_prob(model, prompt, answer):
    """The mean log-probability of an answer's tokens, by a pass over the whole text."""
    tokens = torch.tensor([*prompt, *answer])
    log_probs = model(input_ids=tokens[None]).logits[0].double().log_softmax(-1)
    return sum(
        float(log_probs[place - 1, tokens[place]]) for place in range(len(prompt), len(tokens))
    ) / len(answer)


def log_sigmoid(value):
    return -math.log1p(math.exp(-value))


@pytest.mark.parametrize("name", ["ipo", "simpo"])
def test_the_loss_of_two_pairs_is_that_of_the_formula(name):
    policy, start = tiny_llama(1), tiny_llama(0)
    encoder = ExampleEncoder(build_byte_tokenizer(), "tiny", 64, "drop")
    pairs = [encoder.encode_pair(record, "line") for record in PAIRS]
    expected = []
    for pair in pairs:
        own, other = (
            [mean_log_prob(model, pair.prompt, side) for side in (pair.chosen, pair.rejected)]
            for model in (policy, start)
        )
        if name == "ipo":
            gap = (own[0] - other[0]) - (own[1] - other[1])
            expected.append((gap - 1 / (2 * BETA)) ** 2)
        else:
            expected.append(-log_sigmoid(BETA * (own[0] - own[1]) - GAMMA))
    batch = as_tensors(batch_pairs(pairs, range(len(pairs))))
    for model in (policy, start):
        require_document_attention(model)
    reference = TextReference(len(pairs)) if name == "ipo" else None
    if reference is not None:
        reference.fill(start, [batch])
    loss = partial(ipo, beta=BETA) if name == "ipo" else partial(simpo, beta=BETA, gamma=GAMMA)
    found = text_preference_loss(policy, batch, loss=loss, reference=reference)
    assert found.item() == pytest.approx(sum(expected) / 2, rel=1e-4)


def build_pairs(weights):
    encoder = ExampleEncoder(build_byte_tokenizer(), "tiny", 64, "drop")
    records = [{**record, "weight": weight} for record, weight in zip(PAIRS, weights, strict=True)]
    return [encoder.encode_pair(record, "line") for record in records]


def test_the_loss_is_the_mean_of_the_pairs_by_their_weights_with_a_share_of_sft():
    policy, start = tiny_llama(1), tiny_llama(0)
    for model in (policy, start):
        require_document_attention(model)
    pairs, share = build_pairs([0.25, 3]), 0.3

    def measure(batch, sft_share):
        reference = TextReference(len(pairs))
        reference.fill(start, [batch])
        loss = partial(ipo, beta=BETA)
        return text_preference_loss(
            policy, batch, loss=loss, reference=reference, sft_share=sft_share
        ).item()

    alone = [measure(as_tensors(batch_pairs([pair], [0])), 0) for pair in pairs]
    learned = [-mean_log_prob(policy, pair.prompt, pair.chosen) for pair in pairs]
    both = [(1 - share) * one + share * other for one, other in zip(alone, learned, strict=True)]
    batch = as_tensors(batch_pairs(pairs, range(2)))
    assert measure(batch, 0) == pytest.approx((0.25 * alone[0] + 3 * alone[1]) / 3.25, rel=1e-4)
    assert measure(batch, share) == pytest.approx((0.25 * both[0] + 3 * both[1]) / 3.25, rel=1e-4)


def test_a_pair_of_weight_0_is_left_out_and_another_weight_is_refused():
    first, second = build_pairs([0, None])
    assert first is None and second.weight == 1
    for wrong in (-1, math.nan, True, "2", 1e9):
        with pytest.raises(SeqRecError, match="weight is .*, not a number from 0 to 1,000"):
            build_pairs([wrong, 1])
