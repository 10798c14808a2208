"""Recipes: every shipped one parses, every mistake is one line that names the key."""

import inspect
from functools import partial
from typing import get_args

import numpy as np
import pytest
import yaml

from seqrec.config.block import Block
from seqrec.config.load import list_shipped_recipes, load_recipe
from seqrec.config.objective import LossConfig, PreferenceLossConfig, SampledConfig
from seqrec.config.recipe import Recipe
from seqrec.errors import SeqRecError
from seqrec.objectives.preference import build_preference_loss
from seqrec.objectives.sft import build_batch_loss


@pytest.mark.parametrize("name", list_shipped_recipes())
def test_every_shipped_recipe_parses_and_is_short(name):
    recipe = load_recipe(name)
    settings = yaml.safe_load(list_shipped_recipes()[name].read_text())
    keys = [f"{block}.{key}" for block, values in settings.items() for key in values]
    assert len(keys) < 20
    resolved = yaml.safe_load(yaml.safe_dump(recipe.model_dump()))
    assert type(recipe).model_validate(resolved) == recipe


LOSSES = [
    get_args(member.model_fields["name"].annotation)[0]
    for member in get_args(get_args(LossConfig)[0])
]


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_function_takes_what_its_schema_holds(name):
    """Bind every schema member to its function, with the arguments that ``train`` will add."""
    config = load_recipe("sft", [f"objective.loss={{name: {name}}}"]).objective
    batch_loss = build_batch_loss(config, np.ones(5, dtype=np.int64))
    loss = batch_loss.keywords["loss"]
    settings = loss.keywords if isinstance(loss, partial) else {}
    given = {"label_weight": "weight", "total_weight": 1.0}
    tensors = ["hidden", "item_weight", "labels"]
    if "sampler" in batch_loss.keywords:
        tensors = ["hidden", "positive", "negative", "labels", "negatives"]
    inspect.signature(getattr(loss, "func", loss)).bind(*tensors, **settings, **given)
    inspect.signature(batch_loss.func).bind("model", "batch", **batch_loss.keywords)
    shared = set(SampledConfig.model_fields) if isinstance(config.loss, SampledConfig) else set()
    schema = set(type(config.loss).model_fields) - {"name"} - shared
    assert schema == set(settings) - {"num_items"}


PREFERENCE_LOSSES = [
    get_args(member.model_fields["name"].annotation)[0]
    for member in get_args(get_args(PreferenceLossConfig)[0])
]


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_the_preference_loss_takes_what_its_schema_holds(name):
    config = load_recipe("dpo", [f"objective.loss={{name: {name}}}"]).objective.loss
    loss = build_preference_loss(config)
    inspect.signature(loss.func).bind("policy", "reference", "answers", **loss.keywords)
    assert loss.func.__name__ == name
    assert set(loss.keywords) == set(type(config).model_fields) - {"name"}


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("objective.loss.beta=0", "objective.loss.beta: .*greater than 0"),
        ("objective.loss={name: dpq}", "objective.loss.name: choose from dpo, ipo, simpo, kto"),
        ("objective.loss={name: ipo, gamma: 1}", "objective.loss.gamma: unknown key"),
        ("objective.sft_share=1", "objective.sft_share: .*less than 1"),
        ("objective.weight=rating", "objective.weight: unknown key"),
        ("data.held_out_share=0", "a data.held_out_share above 0"),
        ("data.stride=10", "go with objective sft or distillation"),
    ],
)
def test_a_mistake_in_a_preference_recipe_names_the_key(override, complaint):
    with pytest.raises(SeqRecError, match=complaint) as mistake:
        load_recipe("dpo", [override])
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize(
    ("name", "overrides", "complaint"),
    [
        ("sft", ["data.held_out_share=0.2"], "data.held_out_share goes with objective preference"),
        ("sft", ["data.windows=prefixes", "data.stride=9"], "stride goes with windows all"),
        ("sft", ["data.windows=prefixes", "objective.num_targets=3"], "num_targets 3 goes with"),
        (
            "grpo",
            ["model.from_pretrained=x", "model.dropout=0.1"],
            "model.dropout: rl learns without dropout",
        ),
    ],
)
def test_settings_without_effect_are_refused(name, overrides, complaint):
    with pytest.raises(SeqRecError, match=complaint):
        load_recipe(name, overrides)


def test_a_loss_without_a_reference_takes_none():
    with pytest.raises(SeqRecError, match="reference: loss simpo has none"):
        load_recipe("dpo", ["objective.loss={name: simpo}", "objective.reference=runs/a"])


def test_a_model_to_start_from_leaves_the_other_keys_to_it():
    recipe = load_recipe("dpo", ["model.from_pretrained=runs/first"])
    dumped = recipe.model_dump()
    assert dumped["model"] == {"from_pretrained": "runs/first", "dropout": 0.0}
    assert Recipe.model_validate(dumped) == recipe
    assert load_recipe("sft").model_dump()["model"]["hidden_size"] > 0


def test_every_field_has_help():
    def fields(block, path=""):
        for name, field in block.model_fields.items():
            members = [field.annotation, *get_args(field.annotation)]
            blocks = [m for m in members if isinstance(m, type) and issubclass(m, Block)]
            for inner in blocks:
                yield from fields(inner, f"{path}{name}.")
            if blocks != [field.annotation]:
                yield f"{path}{name}", field.description

    assert [name for name, description in fields(Recipe) if not description] == []


def test_overrides_reach_their_keys():
    recipe = load_recipe("sft", ["trainer.max_epochs=3", "model.hidden_size=128"])
    assert (recipe.trainer.max_epochs, recipe.model.hidden_size) == (3, 128)
    assert load_recipe("sft", ["trainer.learning_rate=1e-4"]).trainer.learning_rate == 1e-4
    assert load_recipe("sft", ["objective.weight=rating"]).objective.weight == "rating"


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("trainer.max_epoch=3", "trainer.max_epoch: unknown key; did you mean max_epochs"),
        ("trainer.max_epochs=0", "trainer.max_epochs: .*greater than 0, not 0"),
        ("trainer.learning_rate=fast", "trainer.learning_rate: .*not 'fast'"),
        ("model.hidden_size=65", "hidden_size 65 must be a multiple of twice"),
        (
            "objective.name=magic",
            "objective.name: choose from .*, distillation, rl, reward_model, search, not 'magic'",
        ),
        ("objective.loss.temperature=2", "objective.loss.temperature: unknown key"),
        ("optimizer.name=adam", "optimizer: unknown key; known here: data, model"),
        ("trainer.seed.a=1", "trainer.seed: .*integer"),
        ("objective.name.a=1", "name is a value, not a block"),
        ("max_epochs", "write it as key.path=value"),
        ("model.dropout=[", "the value is not YAML"),
        ("trainer.selection_metric=auc", "auc and reward_model go together"),
        ("model.initial_vectors=ratings", "ratings with reward models"),
        ("trainer.selection_metric=pair_accuracy", "goes with objective preference"),
        ("data.pairs=pairs.parquet", "data.pairs goes with objective preference, not sft"),
        ("objective.sft_share=0.5", "objective.sft_share: unknown key"),
    ],
)
def test_a_mistake_names_the_key(override, complaint):
    with pytest.raises(SeqRecError, match=complaint) as mistake:
        load_recipe("sft", [override])
    assert "\n" not in str(mistake.value)


def test_missing_and_broken_recipes_are_refused(tmp_path):
    with pytest.raises(SeqRecError, match="neither a file nor one of .*sft"):
        load_recipe("sfd")
    (tmp_path / "a.yaml").write_text("data: [")
    with pytest.raises(SeqRecError, match="not YAML"):
        load_recipe(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("just words")
    with pytest.raises(SeqRecError, match="must hold the blocks"):
        load_recipe(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_text("data: {max_length: 5}")
    with pytest.raises(SeqRecError, match="objective: missing"):
        load_recipe(tmp_path / "c.yaml")


def test_readers_of_the_future_need_windows_that_end_before_the_target():
    with pytest.raises(SeqRecError, match="model.causal false goes with data.windows prefixes"):
        load_recipe("sft", ["model.causal=false"])
    load_recipe("sft", ["model.causal=false", "data.windows=prefixes"])


def test_bf16_is_another_name_of_bfloat16():
    names = [load_recipe("sft", [f"trainer.precision={name}"]) for name in ("bf16", "bfloat16")]
    assert names[0] == names[1]
    assert names[0].trainer.precision == "bfloat16"
