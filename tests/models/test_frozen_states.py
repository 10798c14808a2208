"""A frozen decoder reads every history once, and states stay those of the plain pass."""

import pytest
import torch

from seqrec.models.frozen_states import FrozenStates
from tests.families import save_tiny
from tests.models.test_backbones import build

HEAD = ["model.tuning.name=frozen", "model.head=projected", "model.head_size=8"]


def rows_of(model, lengths):
    """Histories of random items side by side, with their documents."""
    first = model.config.first_item_token
    tokens = torch.randint(first, first + 30, (1, sum(lengths)))
    documents = torch.repeat_interleave(torch.arange(1, len(lengths) + 1), torch.tensor(lengths))
    return tokens, documents[None]


def count_positions(model):
    """The positions that the decoder reads, as a list that grows."""
    counted = []
    model.backbone.register_forward_pre_hook(
        lambda _, args, given: counted.append(given["input_ids"].numel()), with_kwargs=True
    )
    return counted


def test_histories_are_read_once_and_have_the_states_of_the_plain_pass(tmp_path):
    model, _, _ = build(save_tiny(tmp_path), *HEAD, "trainer.precision=float32")
    tokens, documents = rows_of(model, [5, 3, 4])
    expected = model.hidden_states(tokens, documents)
    model.keep_frozen_states(True)
    counted = count_positions(model)
    torch.testing.assert_close(model.hidden_states(tokens, documents), expected)
    # Other rows, an order of their own, one history that is new.
    again = torch.cat([tokens[:, 8:], tokens[:, :5], tokens[:, 1:5]], dim=1)
    places = torch.tensor([[1] * 4 + [2] * 5 + [3] * 4])
    found = model.hidden_states(again, places)
    torch.testing.assert_close(found[:, :4], expected[:, 8:])
    torch.testing.assert_close(found[:, 4:9], expected[:, :5])
    assert counted == [12, 4]
    found.sum().backward()
    assert model.head.project.weight.grad.abs().sum() > 0
    model.keep_frozen_states(False)
    torch.testing.assert_close(model.hidden_states(tokens, documents), expected)
    assert counted == [12, 4, 12]


def test_memory_is_bounded(tmp_path):
    model, _, _ = build(save_tiny(tmp_path), *HEAD, "trainer.precision=float32")
    tokens, _ = rows_of(model, [4, 4])
    kept, counted = FrozenStates(max_bytes=4 * 32 * 4), count_positions(model)
    for _ in range(2):
        kept.read(model.backbone, tokens[0], torch.tensor([0, 4, 8]))
    assert counted == [8, 4]


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("smollm", ["model.tuning.name=frozen"]),
        ("smollm", ["model.head=untied"]),
        ("smollm", ["model.tuning.name=lora", "model.head=untied"]),
    ],
)
def test_a_decoder_that_learns_keeps_nothing(tmp_path, family, settings):
    model, _, _ = build(save_tiny(tmp_path, family), *settings)
    model.keep_frozen_states(True)
    assert model.frozen_states is None


def test_states_with_dropout_are_not_kept(tmp_path):
    model, _, _ = build(save_tiny(tmp_path, "gpt2"), *HEAD)
    model.backbone.config.resid_pdrop = 0.1
    model.keep_frozen_states(True)
    assert model.frozen_states is None
