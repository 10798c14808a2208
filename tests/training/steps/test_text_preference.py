"""Losses of pairs of texts are those of the formulas, with log-probabilities of plain passes."""

import math
from functools import partial

import pytest
import torch

from seqrec.losses.preference import ipo, simpo
from seqrec.models.document_attention import require_document_attention
from seqrec.tokens.text.batches import batch_pairs
from seqrec.tokens.text.examples import TextEncoder
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
    encoder = TextEncoder(build_byte_tokenizer(), "tiny", 64, "drop")
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
