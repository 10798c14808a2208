"""A world in which the better answer is known, a model that only watched, and pairs."""

from typing import NamedTuple

import pytest

import seqrec
from seqrec.data.simulation.tastes import OpposedTastes, opposed_tastes

SFT = [
    "data.max_length=24",
    "data.batch_size=16",
    "model.hidden_size=32",
    "model.dropout=0.1",
    "trainer.max_epochs=6",
    "trainer.learning_rate=0.005",
    "trainer.precision=float32",
]


class Tastes(NamedTuple):
    world: OpposedTastes
    data: object
    sft: object
    pairs: object


@pytest.fixture(scope="session")
def tastes(tmp_path_factory) -> Tastes:
    folder = tmp_path_factory.mktemp("tastes")
    world = opposed_tastes(num_items=60, seed=0)
    seqrec.prepare(world.simulate(500, 18, seed=1), out=folder / "data")
    seqrec.train("sft", data=folder / "data", out=folder / "sft", overrides=SFT)
    seqrec.pairs(data=folder / "data", out=folder / "pairs.parquet", source="ratings", per_user=10)
    return Tastes(world, folder / "data", folder / "sft", folder / "pairs.parquet")


@pytest.fixture(scope="session")
def settings(tastes) -> list[str]:
    """Overrides by which the DPO recipe runs on it."""
    return [
        f"model.from_pretrained={tastes.sft}",
        f"data.pairs={tastes.pairs}",
        "data.batch_size=16",
        "data.held_out_share=0.2",
        "objective.tolerance=0.9",
        "trainer.max_epochs=3",
        "trainer.warmup_steps=5",
        "trainer.learning_rate=0.005",
        "trainer.precision=float32",
    ]
