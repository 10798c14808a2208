"""Reward models by the verb: what they learn, what they leave, and as the reward of RL."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch.nn.functional as F

import seqrec
from seqrec.builders.rewards import build_scorer
from seqrec.cli import main
from seqrec.config.load import load_recipe
from seqrec.config.rl import ModelRewardConfig
from seqrec.data.feedback.holdout import holdout_levels
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.tastes import opposed_tastes
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.models.folder import load_reward_model
from seqrec.objectives.reward_model import RewardModelObjective
from seqrec.rl.prompts import PromptSource
from seqrec.rl.rewards import LearnedReward
from seqrec.rl.rollouts import Rollouts
from seqrec.training.epoch_log import EpochLog

NUM_ITEMS = 40
QUICK = [
    "data.max_length=16",
    "data.batch_size=16",
    "model.hidden_size=32",
    "model.num_hidden_layers=1",
    "objective.held_out_share=0.3",
    "trainer.max_epochs=8",
    "trainer.learning_rate=0.01",
    "trainer.warmup_steps=10",
    "trainer.accelerator=cpu",
    "trainer.precision=float32",
]
EXACT = ["model.dropout=0", "trainer.max_epochs=2", "trainer.learning_rate=0.003"]
FLOORS = ("item_mean", "item_and_user_mean")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("likes")
    log = opposed_tastes(num_items=NUM_ITEMS, seed=0).simulate(600, 16, seed=1)
    data = seqrec.prepare(log, out=folder / "data", split_by="last-n:3")["out"]
    return folder, log, data


def train(world, out, *overrides, **more):
    return seqrec.train(
        "reward-model", data=world[2], out=out, overrides=[*QUICK, *overrides], **more
    )


@pytest.fixture(scope="module")
def trained(world):
    return train(world, world[0] / "reward")


@pytest.fixture(scope="module")
def policy(world):
    settings = [
        "data.max_length=20",
        "model.hidden_size=16",
        "model.num_hidden_layers=1",
        "trainer.max_epochs=3",
        "trainer.accelerator=cpu",
    ]
    return seqrec.train("sft", data=world[2], out=world[0] / "sft", overrides=settings)["out"]


def test_taste_is_learned_that_no_mean_can_tell(trained):
    held_out = trained["details"]["held_out"]
    baselines = held_out["baselines"]
    assert tuple(baselines) == FLOORS
    assert held_out["model"]["auc"] > 0.85
    assert all(baseline["auc"] < 0.65 for baseline in baselines.values())
    assert held_out["auc_gain"]["low"] > 0.1
    assert held_out["model"]["calibration_error"] < 0.1
    assert held_out["model"]["log_loss_nats"] < min(f["log_loss_nats"] for f in baselines.values())


def test_a_run_leaves_a_model_and_its_metrics(world, trained):
    run = world[0] / "reward"
    names = {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()}
    assert names >= {
        "config.yaml",
        "log.jsonl",
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/items.parquet",
    }
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["validation"].keys() == {"auc", "calibration_error", "log_loss_nats"}
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert metrics["validation"]["auc"] == max(line["val/auc"] for line in lines)
    prepared = PreparedData.open(world[2])
    config = json.loads((run / "model" / "config.json").read_text())
    assert config["catalog_fingerprint"] == prepared.catalog_fingerprint
    assert config["rating_levels"] == [1.0, 2.0, 4.0, 5.0]
    level = holdout_levels(prepared.users()["user_id"])
    is_judge = (level >= 0.15) & (level < 0.3)
    assert metrics["details"]["held_out"]["users"] == is_judge.sum()


def test_nobody_held_out_and_nothing_of_the_later_parts_is_learned(world, trained, tmp_path):
    """A log in which all that differs at random gives the same weights."""
    log = world[1]
    rng = np.random.default_rng(0)
    users = log["user_id"].to_numpy()
    level = holdout_levels(users)
    is_judge = (level >= 0.15) & (level < 0.3)
    rank = log.select(pl.int_range(pl.len()).reverse().over("user_id")).to_series().to_numpy()
    is_hidden = is_judge | (rank < 3)
    ratings = np.where(is_hidden, rng.permuted(log["rating"].to_numpy()), log["rating"].to_numpy())
    changed = log.with_columns(rating=pl.Series(ratings))
    other = seqrec.prepare(changed, out=tmp_path / "data", split_by="last-n:3")["out"]
    found = train((None, None, other), tmp_path / "run")
    weights = [
        (folder / "model" / "model.safetensors").read_bytes()
        for folder in (world[0] / "reward", tmp_path / "run")
    ]
    assert weights[0] == weights[1]
    assert (
        found["details"]["held_out"]["model"]["auc"]
        < trained["details"]["held_out"]["model"]["auc"]
    )


def test_a_run_that_was_cut_off_goes_on_to_the_same_end(world, trained, tmp_path, monkeypatch):
    plain = EpochLog.on_train_batch_start

    def cut_off(self, trainer, module, batch, index):
        if trainer.global_step == 100:
            raise MemoryError("cut off")
        plain(self, trainer, module, batch, index)

    settings = ["trainer.checkpoint_minutes=1e-9"]
    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_batch_start", cut_off)
        with pytest.raises(MemoryError):
            train(world, tmp_path / "out", *settings)
    resumed = train(world, tmp_path / "out", *settings, resume=True)
    assert resumed["details"]["held_out"] == trained["details"]["held_out"]
    assert resumed["validation"] == trained["validation"]


@pytest.mark.usefixtures("forked_ranks")
@pytest.mark.slow
def test_two_processes_learn_as_one_does(world, tmp_path):
    runs = [
        train(world, tmp_path / str(num), *EXACT, f"trainer.devices={num}")["validation"]
        for num in (1, 2)
    ]
    assert runs[1] == pytest.approx(runs[0], abs=2e-3)


def test_the_command_line_says_how_it_fares_beside_the_floors(world, tmp_path, capsys):
    arguments = ["train", "reward-model", "--data", world[2], "--out", tmp_path / "out"]
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments), *QUICK, "trainer.max_epochs=1"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and out.splitlines()[-1] == str(tmp_path / "out")
    for words in ("validation: auc", "item and user mean: auc", "calibration_error", "p "):
        assert words in out


def test_titles_start_from_how_the_learned_from_rated_them(world):
    """Titles of one kind, which the same people like, start side by side; both heads."""
    prepared = PreparedData.open(world[2])
    tastes = opposed_tastes(num_items=NUM_ITEMS, seed=0)
    of_item = dict(zip(tastes.worlds[0].item_ids, tastes.likes[0], strict=True))
    kinds = np.array([of_item[item_id] for item_id in prepared.items()["item_id"]])
    for head in ("tied", "untied"):
        recipe = load_recipe("reward-model", [*QUICK, f"model.head={head}"])
        model = RewardModelObjective.build(recipe, prepared).model
        table = model.get_input_embeddings().weight[model.config.first_item_token :]
        if head == "untied":
            table = model.members()[0].items.table.weight
        vectors = F.normalize(table[:NUM_ITEMS].detach(), dim=1)
        products = (vectors @ vectors.T).numpy()
        is_same = kinds[:, None] == kinds
        others = ~np.eye(NUM_ITEMS, dtype=bool)
        assert products[is_same & others].mean() > products[~is_same].mean() + 0.1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objective.liked=6", "0 of .* train answers are liked"),
        ("objective.held_out_share=0.001", "0 of 0 validation answers"),
        ("objective.held_out_share=0", "objective.held_out_share: .*greater than 0"),
        ("trainer.selection_metric=ndcg@10", "auc and reward_model go together"),
        ("model.from_pretrained=x", "model.from_pretrained goes with other objectives"),
        ("model.causal=false", "model.causal goes with other objectives"),
        ("model.initial_vectors=associations", "associations goes with next-item models"),
        ("data.windows=last", "go with objective sft or distillation, not reward_model"),
        ("data.pairs=x.parquet", "data.pairs goes with objective preference"),
    ],
)
def test_mistakes_are_named(world, tmp_path, override, message):
    with pytest.raises(SeqRecError, match=message):
        train(world, tmp_path / "x", override)
    assert not list(tmp_path.iterdir())


def test_a_log_without_ratings_is_refused(world, tmp_path):
    data = seqrec.prepare(world[1].drop("rating"), out=tmp_path / "data")["out"]
    with pytest.raises(SeqRecError, match="no numeric column 'rating'"):
        train((None, None, data), tmp_path / "x")


@pytest.fixture(scope="module")
def labels(world):
    """Slates of three unseen titles, labelled by the share that the user's kind likes."""
    folder, log, data = world
    tastes = opposed_tastes(num_items=NUM_ITEMS, seed=0)
    ids, rng = np.array(tastes.worlds[0].item_ids), np.random.default_rng(0)
    rows = []
    for (user_id,), seen in log.group_by("user_id", maintain_order=True):
        unseen = np.setdiff1d(ids, seen["item_id"].to_numpy())
        for _ in range(8):
            slate = rng.choice(unseen, 3, replace=False).tolist()
            liked = [tastes.is_liked(user_id, title) for title in slate]
            rows.append({"user_id": user_id, "slate": slate, "label": float(np.mean(liked))})
    file = folder / "labels.parquet"
    pl.DataFrame(rows).write_parquet(file)
    return file


def test_labelled_slates_are_learned_and_scored_as_slates(world, labels, policy, tmp_path):
    found = train(world, tmp_path / "run", f"data.labels={labels}")
    held_out = found["details"]["held_out"]
    assert held_out["model"]["auc"] > 0.85 > held_out["baselines"]["item_mean"]["auc"] + 0.15
    assert (
        found["details"]["labels"]["used"]
        == found["details"]["labels"]["rows"]
        == 8 * world[1]["user_id"].n_unique()
    )
    prepared = PreparedData.open(world[2])
    prompts, items = some_prompts(prepared)
    model = load_reward_model(tmp_path / "run" / "model")
    scores = LearnedReward(model).score(prompts, items)
    each = [LearnedReward(model).score(prompts, items[:, :, place, None]) for place in range(3)]
    logits = np.log(each) - np.log1p(-np.array(each))
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits.mean(axis=0))), rtol=1e-5)
    rewarded = reinforce(world[2], policy, tmp_path / "rl", found["out"])
    assert rewarded["details"]["reward"] > rewarded["details"]["reward_before"]


def test_labels_go_with_reward_models_and_must_be_there(world, labels, tmp_path):
    with pytest.raises(SeqRecError, match="data.labels goes with objective reward_model, not sft"):
        seqrec.train("sft", data=world[2], out=tmp_path / "x", overrides=[f"data.labels={labels}"])
    with pytest.raises(SeqRecError, match="data.labels=nowhere.csv: no such file"):
        train(world, tmp_path / "x", "data.labels=nowhere.csv")


REWARD = "objective.rewards=[{{name: model, path: {}}}]"
RL = [
    "objective.num_updates=20",
    "objective.num_prompts=16",
    "objective.num_held_out_prompts=64",
    "objective.guard.check_every=10",
    "objective.guard.tolerance=0.9",
    "objective.guard.max_kl_nats=5",
    "trainer.learning_rate=0.01",
    "trainer.accelerator=cpu",
]

QUICK_RL = ["objective.num_updates=2", "objective.guard.check_every=1"]


def reinforce(data, policy, out, reward, *more, **settings):
    overrides = [*RL, f"model.from_pretrained={policy}", REWARD.format(reward), *more]
    return seqrec.train("grpo", data=data, out=out, overrides=overrides, **settings)


def test_rl_raises_what_the_reward_model_pays(world, trained, policy, tmp_path):
    found = reinforce(world[2], policy, tmp_path / "x", trained["out"])
    assert 0 < found["details"]["reward_before"] < found["details"]["reward"] < 1
    assert found["details"]["reward"] > found["details"]["reward_before"] + 0.05


@pytest.mark.slow
def test_on_ray_the_reward_model_pays_the_same(world, trained, policy, tmp_path):
    found = [
        reinforce(world[2], policy, tmp_path / name, trained["out"], *QUICK_RL, executor)
        for name, executor in {
            "here": "objective.executor={name: in_process, num_workers: 2}",
            "ray": "objective.executor={name: ray, num_workers: 2}",
        }.items()
    ]
    assert found[0]["details"]["reward"] == pytest.approx(found[1]["details"]["reward"], rel=1e-5)
    assert found[0]["details"]["kl_nats"] == pytest.approx(found[1]["details"]["kl_nats"], rel=1e-4)


def test_a_run_is_not_resumed_under_another_reward_model(world, trained, policy, tmp_path):
    reward = shutil.copytree(trained["out"], tmp_path / "reward")
    reinforce(world[2], policy, tmp_path / "x", reward, "objective.num_updates=1")
    (tmp_path / "x").rename(tmp_path / "x.partial")
    train(world, reward, "trainer.seed=1", overwrite=True)
    with pytest.raises(SeqRecError, match="provenance.fingerprint_of .* differs from the run"):
        reinforce(world[2], policy, tmp_path / "x", reward, "objective.num_updates=1", resume=True)


def some_prompts(prepared):
    """Histories with their ratings, and slates of three titles."""
    source = PromptSource(
        prepared.histories(["rating"]),
        np.ones(prepared.num_users),
        num_prompts=6,
        held_out_share=0.1,
        max_later=3,
        seed=0,
    )
    return source(0), np.random.default_rng(0).integers(0, NUM_ITEMS, (6, 4, 3))


def test_the_reward_is_the_mean_of_the_models_chances(world, trained):
    prepared = PreparedData.open(world[2])
    prompts, items = some_prompts(prepared)
    make = build_scorer([ModelRewardConfig(name="model", path=trained["out"])], prepared)

    def score(of):
        return make().score(Rollouts(prompts, of, np.zeros(of.shape), 0, []))

    found = score(items)
    each = np.concatenate([score(items[:, :, place, None]) for place in range(3)]).reshape(3, 6, 4)
    np.testing.assert_allclose(found, each.mean(axis=0), rtol=1e-6)
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("kind", ["another catalog", "no reward model", "nothing"])
def test_a_reward_model_that_does_not_fit_is_refused(world, trained, policy, tmp_path, kind):
    reward, message = trained["out"], "trained on another catalog"
    data = world[2]
    if kind == "another catalog":
        log = first_order_world(num_items=41, seed=0).simulate(80, 12, seed=1)
        data = seqrec.prepare(log, out=tmp_path / "data")["out"]
        settings = ["model.hidden_size=16", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
        policy = seqrec.train("sft", data=data, out=tmp_path / "sft", overrides=settings)["out"]
    elif kind == "no reward model":
        reward, message = policy, "name a run of seqrec train reward-model"
    else:
        reward, message = tmp_path / "nowhere", "objective.rewards.path=.*no such model folder"
    with pytest.raises(SeqRecError, match=message):
        reinforce(data, policy, tmp_path / "x", reward)
