"""A new objective: one implementation, one schema member, one line in the table."""

import json
from dataclasses import fields
from typing import Annotated, ClassVar, Literal

import pytest
import torch
import torch.nn.functional as F
from pydantic import Field

import seqrec
from seqrec.builders.streams import build_stream
from seqrec.config.objective import SFTConfig
from seqrec.config.objective_config import ObjectiveConfig
from seqrec.config.recipe import Recipe
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.objectives.next_item import NextItemObjective, TrainingSetup
from seqrec.runs.recipe import OBJECTIVES, train_recipe
from seqrec.runs.result import RunResult
from seqrec.training.loaders import PackedLoader


class SquaredConfig(ObjectiveConfig):
    """The schema member."""

    reads_windows: ClassVar[bool] = True

    name: Literal["squared"]
    scale: float = Field(default=1.0, gt=0)


class ToyRecipe(Recipe):
    objective: Annotated[SquaredConfig | SFTConfig, Field(discriminator="name")]


class SquaredObjective(NextItemObjective):
    """The implementation: squared error of the next item's probability."""

    @classmethod
    def get_sources(cls, recipe):
        return {}

    @classmethod
    def check_start(cls, recipe, start):
        raise AssertionError("not reached: the model is new")

    @classmethod
    def build_setup(cls, recipe, prepared, start, rank):
        stream = build_stream(recipe, prepared, start.tokens, rank)

        def loss(model, batch):
            hidden = model.hidden_states(batch.input_ids, batch.documents).flatten(0, 1)
            labels = batch.labels.flatten()
            learned = labels != IGNORE_INDEX
            probabilities = (hidden[learned] @ model.item_weight().T).softmax(dim=1)
            targets = F.one_hot(labels[learned], probabilities.shape[1])
            return recipe.objective.scale * (probabilities - targets).square().sum(dim=1).mean()

        return TrainingSetup(PackedLoader(stream), loss, stream.item_counts, prepared.num_items)

    def measure(self, folder):
        return {"files": len(list(folder.iterdir()))}


@pytest.fixture
def data(tmp_path):
    log = first_order_world(num_items=20, seed=0).simulate(150, 10, seed=1)
    return seqrec.prepare(log, out=tmp_path / "data")["out"]


def toy_recipe(**trainer):
    return ToyRecipe.model_validate(
        {
            "data": {"max_length": 10, "batch_size": 16},
            "model": {"hidden_size": 32, "num_hidden_layers": 1, "dropout": 0.0},
            "objective": {"name": "squared", "scale": 2.0},
            "trainer": {"learning_rate": 0.01, "precision": "float32", "max_epochs": 6, **trainer},
        }
    )


def test_a_registered_objective_trains_and_its_result_has_the_one_shape(
    data, tmp_path, monkeypatch
):
    monkeypatch.setitem(OBJECTIVES, "squared", SquaredObjective)
    prepared = PreparedData.open(data)
    recipe, out = toy_recipe(), tmp_path / "run"
    result = train_recipe(recipe, prepared, out, resume=False, overwrite=False)
    assert set(result) == {field.name for field in fields(RunResult)} | {"run", "model", "out"}
    assert json.loads((out / "metrics.json").read_text()).items() <= result.items()
    assert result["objective"] == "squared" and result["details"]["files"] > 3
    assert result["validation"]["recall@10"] > 0.6 > 10 / 20
    rows = seqrec.evaluate([out, "popularity"], data=data, k=[1])["rows"]
    assert rows[0]["recall@1"] > 2 * rows[1]["recall@1"]
    again = train_recipe(recipe, prepared, out, resume=True, overwrite=False)
    assert again == result


def test_a_registered_objective_resumes_as_if_it_had_run_on(data, tmp_path, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "squared", SquaredObjective)
    prepared, recipe = PreparedData.open(data), toy_recipe(max_epochs=3)
    whole = train_recipe(recipe, prepared, tmp_path / "whole", resume=False, overwrite=False)

    def interrupt(epoch, value):
        if epoch == 1:
            raise KeyboardInterrupt
        return False

    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        train_recipe(recipe, prepared, out, resume=False, overwrite=False, should_stop=interrupt)
    assert not out.exists()
    resumed = train_recipe(recipe, prepared, out, resume=True, overwrite=False)
    same = ("validation", "best_epoch", "num_epochs", "num_steps", "details")
    assert {key: resumed[key] for key in same} == {key: whole[key] for key in same}
    weights = [
        (run / "model" / "model.safetensors").read_bytes() for run in (tmp_path / "whole", out)
    ]
    assert weights[0] == weights[1]


def test_torch_draws_nothing_else(data, monkeypatch):
    """Building an objective twice gives the same weights, whatever was drawn before."""
    monkeypatch.setitem(OBJECTIVES, "squared", SquaredObjective)
    prepared, found = PreparedData.open(data), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(SquaredObjective.build(toy_recipe(), prepared).model.state_dict())
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
