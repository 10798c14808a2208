"""The result of a run, in one shape for all objectives, and its file ``metrics.json``."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqrec.files import read_json_object
from seqrec.outputs import METRICS_FILE


@dataclass(frozen=True)
class RunResult:
    """The content of a run's ``metrics.json``."""

    objective: str
    """Name of the objective."""
    num_steps: int
    """Optimizer steps; updates of RL."""
    num_epochs: int
    """Epochs that were trained; 0 for RL, which has none."""
    best_epoch: int | None
    """The epoch of the final weights; 0 if they are the start's; None for RL."""
    num_parameters: int
    selection_metric: str
    """The validation metric that chose the final weights."""
    validation_before: dict[str, float]
    """Validation metrics of the start; empty if it was not judged."""
    validation: dict[str, float]
    """Validation metrics of the final model; empty without validation queries."""
    details: dict[str, Any]
    """Results that only this objective has, such as pairs, events, held_out or kl_nats."""
    costs: dict[str, Any]
    """``train_seconds``, throughput and seconds of stages."""
    protocol: str
    """One line that says how validation was done."""
    wall_seconds: float
    """Time of the whole run, or of its last part if it was resumed."""

    def write(self, folder: Path) -> None:
        """Write ``metrics.json``."""
        (folder / METRICS_FILE).write_text(
            json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8"
        )


def read_result(folder: Path) -> dict[str, Any]:
    """Return the content of a run's ``metrics.json``, and where the run and its model are."""
    metrics = read_json_object(folder / METRICS_FILE, "train again")
    return {"run": str(folder), "model": str(folder / "model"), **metrics, "out": str(folder)}
