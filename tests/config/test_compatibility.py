"""Settings of different blocks that exclude each other: a broken recipe for every rule."""

import pytest

from seqrec.config.blocks import Blocks
from seqrec.config.compatibility import EPOCH_KEYS, NEXT_ITEM_KEYS, RULES
from seqrec.config.load import load_recipe
from seqrec.config.recipe import Recipe
from seqrec.errors import SeqRecError

LEARNED = "data.events={features: [{name: rating, column: rating, is_learned: true}]}"
READ = "data.events={features: [{name: rating, column: rating}]}"
SESSIONS = "data.events={sessions: {series: series, gap_seconds: 60}}"
PRIOR = "model.transition_prior={strength: 1}"
SAMPLED = "objective.loss={name: gbce}"
START = "model.from_pretrained=x"

BROKEN = [
    ("sft", ["data.replay={since: 2024-03-01}"], "data.replay: a new model has seen no old days"),
    (
        "dpo",
        ["model.from_pretrained=run", "data.pairs=p", "data.replay={since: 2024-03-01}"],
        "data.replay goes with objective sft or distillation, not preference",
    ),
    ("sft", ["data.pairs=x"], "data.pairs goes with objective preference, not sft"),
    (
        "distill",
        ["data.held_out_share=0.2"],
        "data.held_out_share goes with objective preference, not distillation",
    ),
    (
        "sft",
        ["trainer.selection_metric=pair_accuracy"],
        "pair_accuracy goes with objective preference and a data.held_out_share above 0",
    ),
    (
        "dpo",
        ["data.held_out_share=0"],
        "pair_accuracy goes with objective preference and a data.held_out_share above 0",
    ),
    ("dpo", ["data.stride=10"], "go with objective sft or distillation, not preference"),
    ("reward-model", ["data.windows=last"], "go with objective sft or distillation, not reward"),
    (
        "sft",
        ["trainer.selection_metric=request_ndcg@10"],
        "request_ndcg@10 goes with objective search, not sft",
    ),
    ("sft", ["trainer.selection_metric=auc"], "auc does not go with objective sft"),
    ("reward-model", ["trainer.selection_metric=ndcg@10"], "auc and reward_model go together"),
    ("sft", ["data.labels=x"], "data.labels goes with objective reward_model, not sft"),
    *(
        ("reward-model", [f"model.{key}={value}"], f"model.{key} goes with other objectives, not")
        for key, value in zip(NEXT_ITEM_KEYS, ["x", "y", "false", "20", "{}", "{}"], strict=True)
    ),
    ("reward-model", ["model.initial_vectors=associations"], "associations does not go with"),
    ("sft", ["model.initial_vectors=ratings"], "ratings does not go with sft"),
    *(
        ("grpo", [f"{block}.{key}={value}"], f"{block}.{key} goes with other objectives, not rl")
        for block, values in {
            "data": ["last", "9", "3"],
            "trainer": [3, 3, "mrr@10", "cosine", 3, 0.9, 3, 2, 2, 3],
        }.items()
        for key, value in zip(EPOCH_KEYS[block], values, strict=True)
    ),
    ("grpo", [START, "model.dropout=0.1"], "model.dropout: rl learns without dropout"),
    ("grpo", [START, "model.item_dropout=0.1"], "model.item_dropout: rl learns without dropout"),
    ("sft", [PRIOR, SAMPLED], "strength goes with objective.loss cross_entropy, not gbce"),
    (
        "sft",
        ["model.transition_prior={}", "objective.loss={name: cross_entropy, label_smoothing: 0.1}"],
        "label_smoothing goes without model.transition_prior",
    ),
    ("sft", [PRIOR, "objective.num_targets=2"], "strength goes with objective.num_targets 1"),
    (
        "sft",
        ["data.windows=prefixes", "objective.num_targets=2"],
        "objective.num_targets 2 goes with data.windows all or last, not prefixes",
    ),
    ("sft", ["model.causal=false"], "model.causal false goes with data.windows prefixes, not all"),
    (
        "distill",
        ["model.causal=false", "data.windows=prefixes", "objective.on_policy={}"],
        "objective.on_policy goes with model.causal true",
    ),
    ("distill", [READ], "data.events goes with objective sft, not distillation"),
    ("sft", [READ, START], "the event features come from model.from_pretrained"),
    (
        "sft",
        [LEARNED, "model.causal=false", "data.windows=prefixes"],
        "feature rating cannot be learned with model.causal false",
    ),
    ("sft", [SESSIONS, PRIOR], "sessions and drop shorten the histories"),
    ("sft", ["model.event_vectors=sum"], "model.event_vectors: sum needs event features"),
    (
        "sft",
        [LEARNED, "model.event_vectors=sum"],
        "feature rating cannot be learned with model.event_vectors sum",
    ),
    (
        "sft",
        [LEARNED, "model.head=projected", "model.head_size=8"],
        "feature rating cannot be learned with model.head projected",
    ),
    (
        "reward-model",
        ["model.head=projected", "model.head_size=8"],
        "model.head projected goes with next-item models, not reward_model",
    ),
    ("sft", [READ, "objective.events_share=0.5"], "events_share: no feature of data.events is"),
    ("distill", ["model.time_bias=past_times"], "time_bias goes with objective sft, not distill"),
    (
        "sft",
        ["model.num_members=3", SAMPLED],
        "model.num_members 3 goes with objective.loss cross_entropy, not gbce",
    ),
    ("distill", ["trainer.refit=validation"], "trainer.refit goes with objective sft, not dist"),
    (
        "sft",
        ["trainer.refit=validation", "model.content={}"],
        "trainer.refit goes with models without model.content",
    ),
    (
        "sft",
        ["trainer.refit=validation", "trainer.devices=2"],
        "trainer.refit goes with trainer.devices 1, not 2",
    ),
    (
        "sft",
        ["trainer.devices=4", "data.batch_size=2"],
        "trainer.devices 4 share batches of data.batch_size 2 rows",
    ),
]


@pytest.mark.parametrize(("name", "overrides", "message"), BROKEN)
def test_a_recipe_that_breaks_a_rule_is_refused_in_one_line(name, overrides, message):
    with pytest.raises(SeqRecError, match=message) as refusal:
        load_recipe(name, overrides)
    assert "\n" not in str(refusal.value) and "{" not in str(refusal.value)


def test_every_rule_has_a_recipe_that_breaks_it(monkeypatch):
    """Read the broken recipes without the rules, then find the first rule that each one breaks."""
    with monkeypatch.context() as context:
        context.setattr("seqrec.config.compatibility.RULES", ())
        recipes = [load_recipe(name, overrides) for name, overrides, _ in BROKEN]
    broken = [_first_broken(recipe) for recipe in recipes]
    assert sorted(set(broken)) == list(range(len(RULES)))


def _first_broken(recipe: Recipe) -> int:
    blocks = Blocks(recipe.data, recipe.model, recipe.objective, recipe.trainer)
    return next(number for number, rule in enumerate(RULES) if rule.is_broken(blocks))
