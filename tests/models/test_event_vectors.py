"""Events at one position each, against a decoder that is given the sums by hand."""

import pytest
import torch
from transformers import LlamaConfig

from seqrec.models import SeqRecForNextItem
from seqrec.models.ensemble import EnsembleConfig
from seqrec.tokens.events.grammar import Grammar
from seqrec.training.accounting import Counts, training_flops
from tests.conftest import small_config
from tests.tokens.conftest import feature

GRAMMAR = Grammar((feature("rating"), feature("wanted", place="before")))
SIZE = 3


def build_config(kind: str, event_vectors: str):
    told = {"events": GRAMMAR.to_dict(), "event_vectors": event_vectors}
    if kind == "ensemble":
        member = small_config("llama").backbone_config
        told["backbone_config"] = EnsembleConfig(member_config=member, num_members=2)
    if kind == "transformers' Llama":
        told["backbone_config"] = LlamaConfig(
            vocab_size=128,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
    return small_config(kind if kind == "hstu" else "llama", **told)


@pytest.fixture(params=["llama", "hstu", "ensemble", "transformers' Llama"])
def model(request):
    return SeqRecForNextItem(build_config(request.param, "sum")).eval()


TOKENS = torch.randint(2, 114, (1, 15), generator=torch.Generator().manual_seed(0))
DOCUMENTS = torch.tensor([[1] * 6 + [2] * 9])


def test_a_position_reads_the_sum_of_its_tokens(model):
    """The states of tokens are the decoder's states of the sums, each history alone."""
    found = model.hidden_states(TOKENS, DOCUMENTS)
    vectors = model.get_input_embeddings().weight[TOKENS[0]]
    sums = [vectors[3 * event : 3 * event + 3].sum(dim=0) for event in range(5)]
    for events in (range(2), range(2, 5)):
        read = torch.stack([sums[event] for event in events])[None]
        by_hand = model.backbone(inputs_embeds=read).last_hidden_state[0]
        for place, event in enumerate(events):
            for token in range(3 * event, 3 * event + 3):
                torch.testing.assert_close(found[0, token], by_hand[place], rtol=1e-4, atol=1e-5)
    ends = model.document_states(TOKENS, DOCUMENTS)
    torch.testing.assert_close(ends, found[0, [5, 14]], rtol=1e-4, atol=1e-5)


def test_nothing_of_an_event_reaches_earlier_ones_or_other_histories(model):
    changed = TOKENS.clone()
    changed[0, 4] = 113 if TOKENS[0, 4] != 113 else 112
    before, after = (model.hidden_states(tokens, DOCUMENTS) for tokens in (TOKENS, changed))
    is_moved = (after != before).any(dim=-1)[0]
    assert is_moved.tolist() == [False] * 3 + [True] * 3 + [False] * 9


def test_padding_changes_no_score(model):
    alone = model(TOKENS).logits
    mask = torch.ones_like(TOKENS)
    padded = model(*(torch.nn.functional.pad(of, (0, 6)) for of in (TOKENS, mask))).logits
    torch.testing.assert_close(padded, alone, rtol=1e-4, atol=1e-5)


def test_rows_are_of_whole_events(model):
    with pytest.raises(ValueError, match="rows of 14 tokens: an event is 3"):
        model.hidden_states(TOKENS[:, 1:])


def test_operations_are_those_of_a_third_of_the_positions():
    spread, summed = (
        training_flops(
            SeqRecForNextItem(build_config("llama", event_vectors)),
            Counts(steps=1, positions=30 * number, useful=30, targets=10),
            row_length=5 * number,
            num_scored=100,
        )
        for event_vectors, number in (("each", 1), ("sum", SIZE))
    )
    assert spread == summed
