"""Every verb over a language model: adapters in the run folder, preference, distillation, RL."""

from pathlib import Path

import polars as pl
import pytest
import torch

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.models.adapters import load_adapter, merge_adapter
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.tokenizer import load_tokenizer
from tests.families import save_tiny, tiny_model

QUICK = ["data.max_length=12", "trainer.accelerator=cpu"]
ONE_EPOCH = [*QUICK, "data.batch_size=4", "trainer.max_epochs=1", "trainer.warmup_steps=1"]
LORA = "model.tuning={name: lora, rank: 2}"
HISTORIES = [["i0", "i3", "i7"], ["i12"]]


def prepare(folder, num_items=30):
    log = first_order_world(num_items=num_items, seed=0).simulate(60, 10, seed=1)
    ids = log["item_id"].unique(maintain_order=True)
    items = pl.DataFrame({"item_id": ids}).with_columns(title=pl.format("film {}", "item_id"))
    return seqrec.prepare(log, items=items, out=folder)["out"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data, a tiny Llama, and a run of LoRA over it."""
    folder = tmp_path_factory.mktemp("world")
    data, base = prepare(folder / "data"), save_tiny(folder / "base", "smollm")
    overrides = [*ONE_EPOCH, f"model.backbone={base}", LORA, "trainer.learning_rate=0.01"]
    run = seqrec.train("sft", data=data, out=folder / "run", overrides=overrides)["out"]
    return data, base, Path(run)


def vectors(folder):
    return torch.from_numpy(Recommender.from_pretrained(folder).item_vectors())


def decoder_weights(folder):
    return Recommender.from_pretrained(folder).model.backbone.state_dict()


def train(recipe, world, out, *overrides, start=True):
    data, _, run = world
    named = [f"model.from_pretrained={run}"] if start else []
    settings = [*QUICK, *named, *overrides]
    return Path(seqrec.train(recipe, data=data, out=out, overrides=settings)["out"])


def test_a_run_holds_its_adapter_beside_the_merged_model(world, tmp_path):
    data, base, run = world
    start = [*ONE_EPOCH, f"model.backbone={base}", f"model.adapter={run / 'adapter'}"]
    # A learning rate near 0 leaves the merged start as it is.
    again = [*start, "model.tuning.name=frozen", "trainer.learning_rate=1e-30"]
    out = seqrec.train("sft", data=data, out=tmp_path / "again", overrides=again)["out"]
    found, expected = decoder_weights(out), decoder_weights(run)
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        # The base of LoRA is held in bfloat16, to which a merged start is rounded.
        torch.testing.assert_close(found[name], weight, atol=2e-3, rtol=2**-7)


def test_an_adapter_loads_on_the_grown_base_and_merges_to_the_model(world, tmp_path):
    data, base, run = world
    plain = [*ONE_EPOCH, f"model.backbone={base}", "trainer.learning_rate=1e-30"]
    out = seqrec.train("sft", data=data, out=tmp_path / "base", overrides=plain)["out"]
    grown = Recommender.from_pretrained(out).model.backbone
    merged = merge_adapter(load_adapter(grown, run / "adapter")).state_dict()
    for name, weight in decoder_weights(run).items():
        torch.testing.assert_close(merged[name], weight, atol=2e-3, rtol=2**-7)
    settings = (run / "adapter" / "adapter_config.json").read_text()
    assert '"trainable_token_indices"' in settings and '"embed_tokens"' in settings


def test_an_adapter_of_another_base_or_of_other_items_is_refused(world, tmp_path):
    data, base, run = world
    adapter = f"model.adapter={run / 'adapter'}"
    other = save_tiny(tmp_path / "other", "smollm")
    torch.manual_seed(1)
    tiny_model("smollm", len(load_tokenizer(other))).save_pretrained(other)
    overrides = [*ONE_EPOCH, f"model.backbone={other}", adapter]
    with pytest.raises(SeqRecError, match="adapter of another base"):
        seqrec.train("sft", data=data, out=tmp_path / "out", overrides=overrides)
    fewer = prepare(tmp_path / "fewer", num_items=20)
    overrides = [*ONE_EPOCH, f"model.backbone={base}", adapter]
    with pytest.raises(SeqRecError, match="rows for the items of another catalog"):
        seqrec.train("sft", data=fewer, out=tmp_path / "out", overrides=overrides)
    with pytest.raises(SeqRecError, match="not an adapter to load: no weights"):
        empty = [*ONE_EPOCH, f"model.backbone={base}", f"model.adapter={tmp_path}"]
        seqrec.train("sft", data=data, out=tmp_path / "out", overrides=empty)


@pytest.mark.parametrize("tuning", ["model.tuning.name=full", LORA])
def test_preferences_are_learned(world, tmp_path, tuning):
    data, _, run = world
    pairs = seqrec.pairs(model=run, data=data, out=tmp_path / "pairs.parquet", source="implicit")[
        "out"
    ]
    out = train(
        "dpo", world, tmp_path / "dpo", f"data.pairs={pairs}", tuning, "trainer.max_epochs=1"
    )
    assert Recommender.from_pretrained(out).recommend(HISTORIES, k=3)
    assert (out / "adapter").is_dir() == (tuning == LORA)


@pytest.mark.parametrize("tuning", ["model.tuning.name=full", LORA])
def test_a_language_model_learns_from_a_teacher(world, tmp_path, tuning):
    data, base, run = world
    overrides = [f"objective.teachers=[{run}]", f"model.backbone={base}", tuning, *ONE_EPOCH]
    out = train("distill", world, tmp_path / "student", *overrides, start=False)
    assert Recommender.from_pretrained(out).recommend(HISTORIES, k=3)
    assert (out / "adapter").is_dir() == (tuning == LORA)


@pytest.mark.parametrize("sampler", ["plackett_luce", "autoregressive"])
@pytest.mark.parametrize("tuning", ["model.tuning.name=full", LORA])
def test_slates_are_rewarded(world, tmp_path, tuning, sampler):
    settings = [
        tuning,
        f"objective.slates={{sampler: {sampler}, num_slates: 2, slate_size: 2}}",
        "objective.num_updates=2",
        "objective.num_prompts=4",
        "objective.num_held_out_prompts=4",
        "trainer.learning_rate=0.01",
    ]
    out = train("grpo", world, tmp_path / "rl", *settings)
    assert Recommender.from_pretrained(out).recommend(HISTORIES, k=3)
    assert (out / "adapter").is_dir() == (tuning == LORA)


def test_tuning_and_dropout_that_a_start_cannot_have_are_refused(world, tmp_path):
    data, _, run = world
    native = [*ONE_EPOCH, "model.hidden_size=16", "model.num_hidden_layers=1"]
    own = seqrec.train("sft", data=data, out=tmp_path / "own", overrides=native)["out"]
    overrides = [*ONE_EPOCH, f"model.from_pretrained={own}", LORA]
    with pytest.raises(SeqRecError, match="lora: goes with language models"):
        seqrec.train("sft", data=data, out=tmp_path / "out", overrides=overrides)
    with pytest.raises(SeqRecError, match=r"item_dropout=0\.5: decoders of type llama have no"):
        train("sft", world, tmp_path / "out", "model.item_dropout=0.5")
    with pytest.raises(SeqRecError, match="dropout goes with decoders of seqrec's own"):
        train(
            "sft",
            world,
            tmp_path / "out",
            f"model.backbone={world[1]}",
            "model.dropout=0.2",
            start=False,
        )
    out = train("sft", world, tmp_path / "set", "model.dropout=0.3", *ONE_EPOCH)
    config = Recommender.from_pretrained(out).model.config.backbone_config
    assert config.attention_dropout == 0.3
