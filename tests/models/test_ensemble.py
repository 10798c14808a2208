"""Decoders side by side: the mean of their scores, and losses each for itself."""

import pytest
import torch

import seqrec
from seqrec.config.load import load_recipe
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.models import SeqRecForNextItem
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.folder import load_model
from seqrec.training.steps.sft import sft_loss
from seqrec.training.tensors import PackedTensors
from tests.conftest import small_config


def ensemble(head="tied", block="llama"):
    config = small_config(block, head)
    config.backbone_config = EnsembleConfig(member_config=config.backbone_config, num_members=3)
    return SeqRecForNextItem(config).eval()


def split_into_models(model, block="llama"):
    for member in model.backbone.members:
        alone = SeqRecForNextItem(small_config(block)).eval()
        alone.backbone.load_state_dict(member.state_dict())
        yield alone


@pytest.mark.parametrize("block", ["sasrec", "llama", "hstu"])
def test_scores_are_the_mean_of_the_members(block):
    model = ensemble(block=block)
    tokens = torch.randint(2, 102, (3, 9))
    wanted = torch.stack([alone(tokens).logits for alone in split_into_models(model, block)])
    torch.testing.assert_close(model(tokens).logits, wanted.mean(dim=0))
    assert (wanted[0] - wanted[1]).abs().max() > 0.01
    documents = torch.ones_like(tokens)
    torch.testing.assert_close(
        model.document_states(tokens, documents), model.hidden_states(tokens)[:, -1]
    )


def test_each_member_learns_for_itself():
    model = ensemble()
    tokens, labels = torch.randint(2, 102, (2, 1, 6))
    batch = PackedTensors(tokens, torch.ones_like(tokens), labels - 2, torch.ones(1, 6), 6.0)
    found = sft_loss(model, batch, loss=catalog_cross_entropy)
    losses = [
        sft_loss(alone, batch, loss=catalog_cross_entropy) for alone in split_into_models(model)
    ]
    torch.testing.assert_close(found, torch.stack(losses).mean())
    found.backward()
    (losses[1] / 3).backward()
    ours = model.backbone.members[1].layers[0]
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize("head", ["tied", "untied"])
def test_saved_and_loaded_it_scores_the_same(head, tmp_path):
    model = ensemble(head)
    tokens = torch.randint(2, 102, (2, 9))
    model.save_pretrained(tmp_path)
    assert torch.equal(load_model(tmp_path)(tokens).logits, model(tokens).logits)


def test_an_ensemble_is_trained_and_served_as_any_model(tmp_path):
    log = first_order_world(num_items=40, seed=0).simulate(150, 12, seed=1)
    data = seqrec.prepare(log, out=tmp_path / "data")["out"]
    overrides = ["model.num_members=2", "model.hidden_size=16", "trainer.max_epochs=2"]
    overrides += ["model.initial_vectors=associations"]
    run = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=overrides)
    rec = seqrec.Recommender.from_pretrained(run["model"])
    assert rec.item_embeddings().shape == (40, 32)
    (row,) = seqrec.evaluate(run["run"], data=data, split="validation")["rows"]
    assert row["ndcg@10"] == pytest.approx(run["validation"]["ndcg@10"], abs=1e-6)


@pytest.mark.parametrize("other", ["model.content={}", "model.cosine_scale=20"])
def test_what_members_cannot_share_is_refused(other):
    with pytest.raises(SeqRecError, match="num_members goes neither"):
        load_recipe("sft", ["model.num_members=2", other])
    with pytest.raises(SeqRecError, match="cross_entropy, not gbce"):
        load_recipe("sft", ["model.num_members=2", "objective.loss={name: gbce}"])
