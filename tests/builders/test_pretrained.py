"""A pretrained start keeps its shape; contradicting settings are named."""

import pytest
import torch

from seqrec.builders.pretrained import check_keys, with_dropout
from seqrec.config.model import ModelConfig
from seqrec.errors import SeqRecError
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.next_item import SeqRecForNextItem
from tests.conftest import small_config

MEMORY = {
    "num_edges": 3,
    "max_steps": 10,
    "step_decay": 0.5,
    "query_decay": 0.7,
    "smoothing": 30.0,
    "strength": 0.4,
}


def ensemble_config(**changes):
    member = small_config("sasrec", **changes).backbone_config
    return small_config(backbone_config=EnsembleConfig(member_config=member, num_members=2))


def asked(**keys):
    return ModelConfig(from_pretrained="runs/first", **keys)


SAME = {
    "a model's own shape": (small_config("sasrec"), {"block": "sasrec", "hidden_size": 32}),
    "how it was drawn": (small_config(), {"initial_vectors": "associations", "dropout": 0.9}),
    "an ensemble's members": (
        ensemble_config(),
        {"block": "sasrec", "num_members": 2, "hidden_size": 32},
    ),
    "a memory": (
        small_config(transition_prior=MEMORY),
        {"transition_prior": {"max_steps": 10, "max_edges": 7}},
    ),
    "a memory whose strength was chosen": (
        small_config(transition_prior=MEMORY),
        {"transition_prior": {}},
    ),
}


@pytest.mark.parametrize(("config", "keys"), SAME.values(), ids=SAME)
def test_equal_settings_may_be_repeated(config, keys):
    check_keys(asked(**keys), config)


OTHERS = {
    "model.block: .* has llama": (small_config("llama"), {"block": "sasrec"}),
    "model.num_members: .* has 1,": (small_config(), {"num_members": 3}),
    "model.num_members: .* has 2,": (ensemble_config(), {"num_members": 3}),
    "model.hidden_size: .* has 32,": (ensemble_config(), {"hidden_size": 64}),
    "model.causal: .* has True,": (small_config(), {"causal": False}),
    "model.transition_prior: .* has none,": (small_config(), {"transition_prior": {}}),
    "model.transition_prior: .* has one,": (
        small_config(transition_prior=MEMORY),
        {"transition_prior": None},
    ),
    "model.transition_prior.strength: .* has 0.4,": (
        small_config(transition_prior=MEMORY),
        {"transition_prior": {"strength": 1.5}},
    ),
    "model.content: .* has none,": (small_config(), {"content": {}}),
}


@pytest.mark.parametrize(("complaint", "of"), OTHERS.items(), ids=OTHERS)
def test_what_contradicts_the_model_is_refused(complaint, of):
    config, keys = of
    with pytest.raises(SeqRecError, match=complaint):
        check_keys(asked(**keys), config)


def test_a_decoder_of_another_type_lacks_native_settings():
    llama = {"model_type": "llama", "hidden_size": 16, "num_attention_heads": 2, "vocab_size": 130}
    config = small_config(backbone_config=llama)
    check_keys(asked(relative_bias=False, hidden_size=16), config)
    with pytest.raises(SeqRecError, match="model.relative_bias: .* has none"):
        check_keys(asked(relative_bias=True), config)


@pytest.mark.parametrize("config", [small_config(), ensemble_config()], ids=["one", "ensemble"])
def test_dropout_is_the_recipes(config):
    """Without dropout, training mode equals evaluation mode; with it, no two passes are equal."""
    model = SeqRecForNextItem(config)
    ids = torch.arange(2, 18)[None]
    with torch.no_grad():
        wanted = model.eval()(input_ids=ids).logits
        without = with_dropout(model, asked(dropout=0.0, item_dropout=0.0)).train()
        torch.testing.assert_close(without(input_ids=ids).logits, wanted)
        dropped = with_dropout(model, asked(dropout=0.5)).train()
        assert not torch.equal(dropped(input_ids=ids).logits, dropped(input_ids=ids).logits)
