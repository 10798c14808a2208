"""Every kind of model passes; what cannot be measured on it is named, not passed."""

import polars as pl
import pytest
from transformers import LlamaConfig

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from tests.verification.conftest import write_next_item, write_reward

LLAMA = "states against Llama"
CACHE = "cached decoding"
KINDS = {
    "llama": ({}, set()),
    "sasrec": ({"block": "sasrec"}, {LLAMA}),
    "hstu": ({"block": "hstu"}, {LLAMA}),
    "untied": ({"head": "untied"}, set()),
    "biased": ({"relative_bias": True, "gated_residual": True}, {LLAMA}),
    "cosine": ({"cosine_scale": 20.0}, set()),
    "reads later items": ({"causal": False}, {CACHE}),
    "members": ({"members": 2}, set()),
    "content": ({"content": {"content_width": 8}}, set()),
    "prior": (
        {
            "transition_prior": {
                "num_edges": 0,
                "max_steps": 3,
                "step_decay": 0.5,
                "query_decay": 0.5,
                "smoothing": 5.0,
                "strength": 0.5,
            }
        },
        set(),
    ),
    "transformers": (
        {
            "backbone_config": LlamaConfig(
                vocab_size=128,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                pad_token_id=0,
                max_position_embeddings=32,
            )
        },
        set(),
    ),
}


def by_result(result):
    found = {}
    for one in result["properties"]:
        found.setdefault(one["result"], {})[one["property"]] = one
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_model_has_every_property_that_applies(tmp_path, kind):
    settings, inapplicable = KINDS[kind]
    result = seqrec.verify(write_next_item(tmp_path / "model", **settings), histories=60)
    found = by_result(result)
    assert result["passed"] and set(found) <= {"passed", "does not apply"}, found
    assert set(found.get("does not apply", {})) == inapplicable
    assert len(found["passed"]) == 12 - len(inapplicable)
    assert all(one["deviation"] <= one["bound"] for one in found["passed"].values())


def test_a_reward_model_has_them_and_neither_an_index_nor_a_cache(tmp_path):
    found = by_result(seqrec.verify(write_reward(tmp_path / "model"), histories=60))
    assert set(found) == {"passed", "does not apply"}, found
    assert set(found["does not apply"]) == {"item index", CACHE}


RATING = "{name: rating, column: rating, is_learned: true}"
STARS = "{name: stars, column: rating, buckets: [2, 4]}"
WANTED = "{name: wanted, column: rating, place: before}"
GAP = "{name: gap, time: gap, buckets: [3600, 86400]}"
HOUR = "{name: hour, time: hour, place: before}"
SERIES = "{name: series, item: series}"
GRAMMARS = {
    "features and past times": [
        f"data.events={{features: [{SERIES}, {RATING}, {STARS}, {GAP}, {WANTED}]}}",
        "model.time_bias=past_times",
    ],
    "an event a position": [
        f"data.events={{features: [{STARS}, {GAP}, {WANTED}]}}",
        "model.event_vectors=sum",
    ],
    "sessions and the target's time": [
        f"data.events={{features: [{GAP}, {{name: low, column: rating, drop: [1]}}, {HOUR}], "
        "target_time: true, sessions: {series: series, gap_seconds: 86400}}",
        "model.time_bias=target_time",
    ],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    log = first_order_world(num_items=30, seed=0).simulate(60, 9, seed=1)
    series = pl.col("item_id").str.slice(1).cast(pl.Int64) % 4
    items = log.select("item_id", series=series).unique("item_id")
    return seqrec.prepare(log, items=items, out=tmp_path_factory.mktemp("log") / "data")["out"]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_events_are_the_same_in_training_in_requests_and_as_text(data, tmp_path, grammar):
    settings = ["data.max_length=12", "model.hidden_size=16", "trainer.max_epochs=1"]
    run = seqrec.train(
        "sft", data=data, out=tmp_path / "run", overrides=[*settings, *GRAMMARS[grammar]]
    )["out"]
    result = seqrec.verify(run, histories=100)
    found = by_result(result)
    assert result["passed"], found
    assert "tokens of histories" in found["passed"]
    assert (CACHE in found.get("does not apply", {})) == (grammar == "an event a position")
