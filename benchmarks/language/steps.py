"""Training steps of seqrec on text, as ``seqrec train`` makes them."""

import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.engine.machine import forget_peak, memory_mb
from benchmarks.engine.steps import TrainingStep
from benchmarks.language.texts import ALPHA, BACKBONE, RANK, RATE, Timed
from seqrec.config.load import load_recipe
from seqrec.runs.recipe import OBJECTIVES
from seqrec.training.loaders import PackedLoader


def time_steps(
    recipe_name: str, records: list[Any], num_steps: int, is_lora: bool, *overrides: str
) -> Timed:
    """Time the first steps of a recipe on some records."""
    tuning = f"{{name: lora, rank: {RANK}, alpha: {ALPHA}}}" if is_lora else "{name: full}"
    settings = [
        f"model.backbone={BACKBONE}",
        f"model.tuning={tuning}",
        f"trainer.learning_rate={RATE}",
        "trainer.schedule=constant",
        "trainer.warmup_steps=0",
        "trainer.accumulate_batches=1",
        "trainer.accelerator=cpu",
        "trainer.precision=bfloat16",
        "data.held_out_share=0",
    ]
    recipe = load_recipe(recipe_name, [*settings, *overrides])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "records.jsonl"
        file.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
        kind = OBJECTIVES[recipe.objective.name]
        objective = kind.build(recipe, kind.open_data(file))
        objective.before()
        step = TrainingStep(objective.build_module())
        forget_peak()
        before, tokens, seconds = memory_mb(), [], []
        for batch in islice(PackedLoader(objective.train), num_steps):
            tokens.append(batch.input_ids.numel())
            seconds.append(step(batch))
    return Timed(tokens, seconds, before)
