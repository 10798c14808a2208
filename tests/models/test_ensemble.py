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


def with_content(model, number):
    """One member of an ensemble with content, as a model of its own."""
    alone = SeqRecForNextItem(small_config("llama", content={"content_width": 5})).eval()
    wide, own = model.get_input_embeddings(), alone.get_input_embeddings()
    columns = slice(number * 32, (number + 1) * 32)
    alone.backbone.load_state_dict(model.backbone.members[number].state_dict(), strict=False)
    with torch.no_grad():
        own.weight.copy_(wide.weight[:, columns])
        own.proj.weight.copy_(wide.proj.weight[columns])
        own.proj_of_new.weight.copy_(wide.proj_of_new.weight[columns])
        own.proj_of_new.bias.copy_(wide.proj_of_new.bias[columns])
        own.content.copy_(wide.content)
        own.has_row.copy_(wide.has_row)
    return alone


def ensemble_with_content():
    config = small_config("llama", content={"content_width": 5})
    config.backbone_config = EnsembleConfig(member_config=config.backbone_config, num_members=3)
    model = SeqRecForNextItem(config).eval()
    embedding = model.get_input_embeddings()
    embedding.load_content(torch.randn(100, 5), torch.arange(100) < 90)
    torch.nn.init.normal_(embedding.proj_of_new.weight, std=0.1)
    return model


def test_with_content_every_member_has_vectors_and_projections_of_its_own(tmp_path):
    model = ensemble_with_content()
    tokens = torch.randint(2, 102, (3, 9))
    alone = [with_content(model, number) for number in range(3)]
    expected = torch.stack([member(tokens).logits for member in alone])
    torch.testing.assert_close(model(tokens).logits, expected.mean(dim=0))
    assert (expected[0] - expected[1]).abs().max() > 0.01
    model.save_pretrained(tmp_path)
    assert torch.equal(load_model(tmp_path)(tokens).logits, model(tokens).logits)

    labels = torch.randint(0, 90, (1, 6))
    documents = torch.ones(1, 6, dtype=torch.long)
    batch = PackedTensors(tokens[:1, :6], documents, labels, torch.ones(1, 6), 6.0)
    sft_loss(model, batch, loss=catalog_cross_entropy).backward()
    (sft_loss(alone[1], batch, loss=catalog_cross_entropy) / 3).backward()
    wide, own = model.get_input_embeddings(), alone[1].get_input_embeddings()
    torch.testing.assert_close(wide.weight.grad[:, 32:64], own.weight.grad)
    torch.testing.assert_close(wide.proj.weight.grad[32:64], own.proj.weight.grad)


def test_cosines_are_averaged_over_the_members():
    model = ensemble()
    model.config.cosine_scale = 20.0
    tokens = torch.randint(2, 102, (3, 9))
    alone = list(split_into_models(model))
    for member in alone:
        member.config.cosine_scale = 20.0
    logits = torch.stack([member(tokens).logits for member in alone])
    torch.testing.assert_close(model(tokens).logits, logits.mean(dim=0))
    assert logits.abs().max() <= 20


def test_sampled_losses_of_members_are_refused():
    with pytest.raises(SeqRecError, match="cross_entropy, not gbce"):
        load_recipe("sft", ["model.num_members=2", "objective.loss={name: gbce}"])
