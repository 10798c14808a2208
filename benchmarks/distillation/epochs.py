"""A distillation epoch against an SFT epoch of the student and a forward pass of the teacher."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.distillation.students import TEACHERS
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, at_most, row
from benchmarks.quality.table import RECIPES, seqrec
from seqrec.builders.named_models import open_recommender
from seqrec.config.load import load_recipe
from seqrec.data.prepared import PreparedData
from seqrec.losses.softmax import CatalogSoftmax
from seqrec.objectives.sft import SFTObjective
from seqrec.training.accounting import training_dtype
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE
from seqrec.training.steps.distillation import Teachers
from seqrec.training.steps.targets import TargetPositions

NAME = Path(__file__).stem
MODULE = "benchmarks.distillation"
TARGET = at_most(1.3)
NUM_RUNS = 3
ALONE = "objective.name=sft"
"""The model settings of the taught student's recipe, so that both epochs train the same model."""


def measure(quick: bool) -> Iterator[Row]:
    """The three times, in turns, and what they come to."""
    for data, large in TEACHERS.items():
        folder, name = prepared(data), data.replace("-", "")
        teacher = _teacher(name, large, folder)
        student = RECIPES / "distillation" / f"{name}-taught.yaml"
        taught = [f"objective.teachers=[{teacher}]"]
        seconds: dict[str, list[float]] = {"SFT": [], "teacher": [], "distillation": []}
        for _ in range(1 if quick else NUM_RUNS):
            seconds["SFT"].append(epoch_seconds(student, folder, ALONE))
            seconds["distillation"].append(epoch_seconds(student, folder, *taught))
            answer = in_fresh_process(
                f"{MODULE}.{NAME}", recipe=str(student), data=str(folder), teacher=str(teacher)
            )
            seconds["teacher"].append(answer["seconds"])
        parts = zip(seconds["SFT"], seconds["teacher"], strict=True)
        together = sorted(sum(pair) for pair in parts)[len(seconds["SFT"]) // 2]
        for system, values in seconds.items():
            is_judged = system == "distillation"
            yield row(
                NAME,
                f"{data}, epoch",
                values,
                "s",
                system=system,
                ratio=sorted(values)[len(values) // 2] / together if is_judged else None,
                target=TARGET if is_judged else None,
                note="ratio: to SFT and the teacher's pass together" if is_judged else "",
                module=MODULE,
            )


def _teacher(name: str, recipe: Path, folder: Path) -> Path:
    """A teacher of the size; how good it is matters not."""
    out = FOLDER / "runs" / f"{name}-teacher-untrained"
    if not out.exists():
        options = ["--data", str(folder), "--out", str(out), "trainer.max_epochs=1"]
        seqrec("train", str(recipe), *options)
    return out


def epoch_seconds(recipe: Path, data: Path, *overrides: str) -> float:
    """The second of two epochs."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        seqrec(
            *("train", str(recipe), "--data", str(data), "--out", str(out)),
            *("trainer.max_epochs=2", "trainer.epochs_without_dropout=0"),
            *("trainer.accelerator=cpu", *overrides),
        )
        return read_log(out / LOG_FILE)[-1]["train_seconds"]


@torch.no_grad()
def probe(recipe: str, data: str, teacher: str) -> dict[str, Any]:
    """The teacher's states and scores at every position of the student's epoch."""
    prepared_data = PreparedData.open(data)
    settings = load_recipe(recipe, [ALONE, "trainer.accelerator=cpu"])
    objective = SFTObjective.build(settings, prepared_data)
    teachers = Teachers([open_recommender(teacher, prepared_data).model])
    dtype = training_dtype("auto", "cpu")
    started = time.perf_counter()
    for batch in objective.setup.loader:
        learned = TargetPositions.of(batch)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            (scores,) = teachers.scores(batch, learned.positions, learned.labels)
            softmax = CatalogSoftmax(scores)
            for rows in softmax.chunks(None, num_models=2, num_arrays=2):
                softmax.logits(rows)
    return {"seconds": time.perf_counter() - started}
