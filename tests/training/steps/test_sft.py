"""SFT on worlds whose best next item is known."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel

import seqrec
from seqrec.config.objective import SampledConfig
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world, second_order_world, unordered_world
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import build_queries
from seqrec.losses.catalog import IGNORE_INDEX, catalog_cross_entropy
from seqrec.models import SeqRecForNextItem
from seqrec.objectives.sft import build_sampled_loss
from seqrec.training.callbacks import AveragedWeights
from seqrec.training.steps.sft import sft_loss
from seqrec.training.tensors import PackedTensors
from tests.conftest import small_config

SMALL = ["data.max_length=20", "model.hidden_size=32", "model.dropout=0.1"]
QUICK = [*SMALL, "trainer.learning_rate=0.01", "trainer.max_epochs=12", "data.batch_size=64"]


def judged(world, tmp_path, num_users, overrides=QUICK):
    """recall@1 of the model and the baselines, and the best that anyone can expect."""
    data = tmp_path / "data"
    seqrec.prepare(world.simulate(num_users, 15, seed=3), out=data)
    seqrec.train("sft", data=data, out=tmp_path / "model", overrides=overrides)
    systems = [tmp_path / "model", "popularity", "transitions"]
    rows = seqrec.evaluate(systems, data=data, k=[1, 10])["rows"]
    prepared = PreparedData.open(data)
    number_of = {item_id: number for number, item_id in enumerate(world.item_ids)}
    numbers = np.array([number_of[item_id] for item_id in prepared.items()["item_id"]])
    histories = build_queries(prepared.histories(), "test", prepared.targets).histories
    best = world.best_recall([numbers[history] for history in histories], 1)
    return {row["system"]: row["recall@1"] for row in rows} | {"best": best}


@pytest.mark.slow
def test_sft_reaches_the_optimum_of_a_first_order_world(tmp_path):
    found = judged(first_order_world(num_items=50, seed=0), tmp_path, 1200)
    noise = 2 * np.sqrt(found["best"] * (1 - found["best"]) / 1200)
    assert found["model"] > found["best"] - noise
    assert found["transitions"] > found["best"] - noise
    assert found["popularity"] < 0.2 * found["best"]


@pytest.mark.slow
def test_sft_beats_counts_where_two_titles_decide(tmp_path):
    overrides = [*QUICK, "trainer.max_epochs=10", "data.batch_size=128"]
    found = judged(second_order_world(num_items=30, seed=0), tmp_path, 2500, overrides)
    noise = 2 * np.sqrt(found["best"] * (1 - found["best"]) / 2500)
    assert found["model"] > 0.9 * found["best"] - noise
    assert found["model"] > found["transitions"] + 2 * noise


def test_popularity_is_the_floor_and_the_ceiling_where_order_carries_nothing(tmp_path):
    found = judged(
        unordered_world(num_items=40, seed=0), tmp_path, 1000, [*QUICK, "trainer.max_epochs=6"]
    )
    noise = 2 * np.sqrt(found["best"] * (1 - found["best"]) / 1000)
    assert found["popularity"] > found["best"] - noise
    assert abs(found["model"] - found["popularity"]) < noise


def test_a_title_of_weight_0_is_read_and_never_recommended(tmp_path):
    world = first_order_world(num_items=40, seed=0)
    log = world.simulate(400, 12, seed=1)
    is_disliked = pl.col("item_id").str.ends_with("7")
    log = log.with_columns(completion=pl.when(is_disliked).then(0.0).otherwise(1.0))
    seqrec.prepare(log, out=tmp_path / "data", split_by="none")
    disliked = {item_id for item_id in world.item_ids if item_id.endswith("7")}
    shares = {}
    for name, more in (("plain", []), ("weighted", ["objective.weight=completion"])):
        overrides = [*QUICK, "trainer.max_epochs=12", *more]
        seqrec.train("sft", data=tmp_path / "data", out=tmp_path / name, overrides=overrides)
        file = tmp_path / f"{name}.parquet"
        seqrec.recommend(tmp_path / name, data=tmp_path / "data", split="all", k=3, out=file)
        lists = pl.read_parquet(file)
        shares[name] = lists["item_id"].is_in(disliked).mean()
    assert shares["plain"] > 0.05 and shares["weighted"] < 0.01


@pytest.mark.parametrize(
    ("value", "complaint"), [(None, "empty or negative"), (-1.0, "empty or negative"), (0.0, "all")]
)
def test_a_weight_column_that_cannot_weigh_is_refused(tmp_path, value, complaint):
    log = first_order_world(num_items=20, seed=0).simulate(30, 8, seed=1)
    seqrec.prepare(log.with_columns(joy=pl.lit(value, pl.Float64)), out=tmp_path / "data")
    with pytest.raises(seqrec.SeqRecError, match=f"objective.weight.*joy.*{complaint}"):
        seqrec.train(
            "sft", data=tmp_path / "data", out=tmp_path / "x", overrides=["objective.weight=joy"]
        )
    assert not list(tmp_path.glob("x*"))


def test_without_a_validation_part_the_last_weights_are_kept(tmp_path):
    log = first_order_world(num_items=20, seed=0).simulate(30, 8, seed=1)
    seqrec.prepare(log, out=tmp_path / "data", split_by="none")
    overrides = [*SMALL, "trainer.max_epochs=2"]
    result = seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "x", overrides=overrides)
    assert (result["best_epoch"], result["validation"]) == (2, {})
    assert seqrec.Recommender.from_pretrained(tmp_path / "x").recommend([["t01"]], k=2)


def test_a_loss_that_is_no_number_ends_in_one_line(tmp_path):
    log = first_order_world(num_items=20, seed=0).simulate(60, 8, seed=1)
    seqrec.prepare(log, out=tmp_path / "data")
    overrides = [*SMALL, "trainer.learning_rate=100", "trainer.weight_decay=100"]
    overrides += ["trainer.warmup_steps=0", "trainer.max_epochs=20"]
    with pytest.raises(seqrec.SeqRecError, match="lower trainer.learning_rate"):
        seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "x", overrides=overrides)
    assert not (tmp_path / "x").exists()


def test_a_log_of_one_user_goes_all_the_way(tmp_path):
    ids = ["a b", "<pad>", "🎬", '"q"', "123456789012345678901234567890", "1,2"]
    pl.DataFrame({"user": "me", "item": ids, "time": range(6)}).write_csv(tmp_path / "log.csv")
    seqrec.prepare(tmp_path / "log.csv", out=tmp_path / "data")
    overrides = [*SMALL, "trainer.max_epochs=1"]
    seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "x", overrides=overrides)
    (row,) = seqrec.evaluate([tmp_path / "x"], data=tmp_path / "data")["rows"]
    assert 0 <= row["recall@10"] <= 1
    rec = seqrec.Recommender.from_pretrained(tmp_path / "x")
    found = rec.recommend([ids[:2]], k=10)[0]
    assert {item_id for item_id, _ in found} == set(ids[2:])


@pytest.mark.parametrize(
    ("split_by", "targets"),
    [("last-n:3", "last"), ("global-time:.8", "last"), ("global-time:.8", "successive")],
)
def test_other_splits_go_all_the_way(tmp_path, split_by, targets):
    log = first_order_world(num_items=40, seed=0).simulate(150, 12, seed=1)
    data = tmp_path / "data"
    seqrec.prepare(log, out=data, split_by=split_by, targets=targets)
    overrides = [*SMALL, "trainer.max_epochs=1"]
    seqrec.train("sft", data=data, out=tmp_path / "x", overrides=overrides)
    result = seqrec.evaluate([tmp_path / "x", "popularity"], data=data)
    assert split_by in result["protocol"] and len(result["rows"]) == 2
    written = seqrec.recommend(tmp_path / "x", data=data, k=5, out=tmp_path / "recs.parquet")
    lists = pl.read_parquet(tmp_path / "recs.parquet")
    assert written["users"] == lists["user_id"].n_unique()
    assert not lists.select("user_id", "item_id").is_duplicated().any()
    json.dumps(result)


def test_several_targets_share_the_weight_of_the_next_one():
    model = SeqRecForNextItem(small_config())
    documents = torch.tensor([[1, 1, 1, 1, 2, 2, 2, 0]])
    items = torch.tensor([[4, 8, 15, 16, 23, 42, 7, -2]])
    labels = torch.tensor([[8, 15, 16, 50, 42, 7, IGNORE_INDEX, IGNORE_INDEX]])
    weight = torch.tensor([[1, 2, 0, 3, 1, 1, 0, 0.0]])
    batch = PackedTensors(items + 2, documents, labels, weight, total_weight=8.0)
    found = sft_loss(model, batch, loss=catalog_cross_entropy, num_targets=3, target_decay=0.5)
    hidden = model.hidden_states(items + 2, documents)[0]
    negative = -(hidden @ model.item_weight().T).log_softmax(1)
    by_hand = [
        [(0, 8, 1 / 2), (0, 15, 1 / 2)],  # 4/7 of 1 against 2/7 of 2, together 1
        [(1, 15, 2 * 8 / 11), (1, 50, 2 * 3 / 11)],
        [(3, 50, 3)],
        [(4, 42, 2 / 3), (4, 7, 1 / 3)],
        [(5, 7, 1)],
    ]
    wanted = sum(weight * negative[row, item] for of in by_hand for row, item, weight in of) / 8
    torch.testing.assert_close(found, wanted)


def test_more_targets_than_positions_are_those_that_there_are():
    model = SeqRecForNextItem(small_config())
    items, documents = torch.tensor([[4, 8]]), torch.ones(1, 2, dtype=torch.long)
    batch = PackedTensors(items + 2, documents, torch.tensor([[8, 15]]), torch.ones(1, 2), 2.0)
    few, many = (
        sft_loss(model, batch, loss=catalog_cross_entropy, num_targets=number) for number in (2, 9)
    )
    # the halves of what comes later are missing from the sum: what is there still weighs 1
    torch.testing.assert_close(many, few)


def test_a_sampled_loss_without_a_function_is_refused():
    class NewConfig(SampledConfig):
        pass

    with pytest.raises(NotImplementedError, match="NewConfig has no function"):
        build_sampled_loss(NewConfig(), num_items=3)


def test_averaged_weights_forget_the_start():
    """Of steps 1, 9, 17, ... each average keeps ``min(decay, (1 + n) / (10 + n))`` a step."""
    mean = AveragedModel(torch.nn.Linear(1, 1), avg_fn=AveragedWeights(0.999)._kwargs["avg_fn"])
    wanted, model = None, torch.nn.Linear(1, 1)
    for number in range(40):
        with torch.no_grad():
            model.weight.fill_(float(number))
        mean.update_parameters(model)
        kept = min(0.999, (1 + 8 * number) / (10 + 8 * number)) ** 8
        wanted = float(number) if number == 0 else kept * wanted + (1 - kept) * number
    assert mean.module.weight.item() == pytest.approx(wanted)
    assert 30 < wanted < 39


def test_a_memory_needs_a_validation_part_that_chooses_its_strength(tmp_path):
    log = first_order_world(num_items=20, seed=0).simulate(30, 8, seed=1)
    seqrec.prepare(log, out=tmp_path / "data", split_by="none")
    with pytest.raises(
        SeqRecError, match="model.transition_prior.strength: null is chosen on validation"
    ):
        overrides = [*SMALL, "model.transition_prior={}"]
        seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run", overrides=overrides)


def test_averages_of_weights_with_sparse_gradients_are_those_of_dense_ones(tmp_path):
    """A row that a step did not use moves under AdamW, and so under the average, all the same."""
    log = first_order_world(num_items=40, seed=0).simulate(150, 15, seed=1)
    seqrec.prepare(log, out=tmp_path / "data")
    found = []
    for is_sparse in ("true", "false"):
        sampled = f"{{name: sampled_softmax, num_negatives: 4, sparse: {is_sparse}}}"
        overrides = [
            *(*SMALL, "model.dropout=0", "data.batch_size=4", "trainer.precision=float32"),
            *(f"objective.loss={sampled}", "trainer.ema_decay=0.9", "trainer.max_epochs=2"),
        ]
        out = tmp_path / is_sparse
        seqrec.train("sft", data=tmp_path / "data", out=out, overrides=overrides)
        found.append(load_file(out / "model" / "model.safetensors"))
    for name, sparse in found[0].items():
        torch.testing.assert_close(sparse, found[1][name], atol=2e-4, rtol=1e-3)
