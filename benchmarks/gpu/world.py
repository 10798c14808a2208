"""A simulated log with ratings, a model trained on it, and the recipes of all objectives."""

from dataclasses import dataclass
from pathlib import Path

import seqrec
from benchmarks.gpu.place import Place
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.tastes import opposed_tastes

MAX_LENGTH = 32
SETTINGS = (
    f"data.max_length={MAX_LENGTH}",
    "model.hidden_size=32",
    "model.dropout=0",
    "model.item_dropout=0",
    "trainer.max_epochs=2",
    "trainer.warmup_steps=0",
    "trainer.learning_rate=0.005",
)


@dataclass(frozen=True)
class World:
    """Paths of what the objectives need."""

    data: Path
    start: Path
    """A run of SFT."""
    pairs: Path

    @property
    def prepared(self) -> PreparedData:
        """The prepared log."""
        return PreparedData.open(self.data)

    def overrides(self, *more: str) -> list[str]:
        """Return settings of a small recipe without dropout, and more."""
        return [*SETTINGS, *more]

    def continuing(self, *more: str) -> list[str]:
        """Return settings of an update that starts from the trained model."""
        rate = "trainer.learning_rate=0.0005"
        return [f"data.max_length={MAX_LENGTH}", f"model.from_pretrained={self.start}", rate, *more]


def build_world(place: Place) -> World:
    """Simulate, prepare and train on the CPU, once in a scratch folder."""
    folder = place.folder / "world"
    world = World(folder / "data", folder / "start", folder / "pairs.parquet")
    if world.pairs.exists():
        return world
    num_users, num_items = (60, 30) if place.is_small else (1_000, 500)
    log = opposed_tastes(num_items=num_items, seed=0).simulate(num_users, 18, seed=1)
    seqrec.prepare(log, out=world.data)
    on_cpu = ["trainer.accelerator=cpu", "trainer.precision=float32"]
    seqrec.train("sft", data=world.data, out=world.start, overrides=world.overrides(*on_cpu))
    seqrec.pairs(data=world.data, out=world.pairs, source="ratings", per_user=5)
    return world
