"""Serving costs of the table's students beside their teachers, timed in turns."""

import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.distillation.students import RECIPES_OF, TEACHERS
from benchmarks.engine.prepared import FOLDER, Missing, prepared
from benchmarks.engine.rows import Row, at_least, at_most, row
from benchmarks.quality.table import RECIPES, SEEDS
from seqrec.builders.named_models import open_recommender
from seqrec.config.load import load_recipe
from seqrec.data.prepared import PreparedData
from seqrec.objectives.serving_costs import BATCH, serving_costs
from seqrec.training.loaders import QueryLoader

NAME = Path(__file__).stem
MODULE = "benchmarks.distillation"
SPEED = f"histories_per_second_batch_{BATCH}"
FASTER = at_least(4)
SMALL = at_most(1 / 8)


def measure(quick: bool) -> Iterator[Row]:
    """Sizes and speeds of the models that ``students`` trained."""
    for data in TEACHERS:
        prepared_data = PreparedData.open(prepared(data))
        name = data.replace("-", "")
        runs = FOLDER / "runs" / f"{name}-student-live"
        teacher = FOLDER / "runs" / f"{name}-teacher"
        if not runs.exists():
            raise Missing(f"{runs}: python -m {MODULE} students trains it")
        taught = RECIPES / "distillation" / f"{name}-{RECIPES_OF[1]}.yaml"
        recipe = load_recipe(taught, [f"objective.teachers=[{teacher}]"])
        queries = QueryLoader(
            prepared_data.blocks(), prepared_data.targets, memory_rows=recipe.data.pool_rows
        )
        histories = next(iter(queries)).histories
        serving = []
        for seed in SEEDS[: 1 if quick else None]:
            folder = runs / f"seed-{seed}" / "model"
            student = open_recommender(folder, prepared_data)
            costs = serving_costs([teacher], student, folder, prepared_data, histories)
            serving.append(list(costs.values()))
        sizes = [of["non_embedding_parameters"] for of in serving[0]]
        yield row(
            NAME,
            f"{data}, parameters beside titles' vectors, of the teacher's",
            [sizes[0] / sizes[1]],
            "",
            system=runs.name,
            target=SMALL,
            note=f"{sizes[0]:,} of {sizes[1]:,}, all members counted",
            module=MODULE,
        )
        ratio = statistics.median(run[0][SPEED] / run[1][SPEED] for run in serving)
        for place, system in enumerate((runs.name, teacher.name)):
            of = [run[place] for run in serving]
            yield row(
                NAME,
                f"{data}, serving in batches of {BATCH}",
                [run[SPEED] for run in of],
                "histories/s",
                system=system,
                ratio=ratio if place == 0 else None,
                target=FASTER if place == 0 else None,
                note=f"{of[0]['megabytes']} MB; one history: p50 {of[0]['p50_ms']} ms, p99 "
                f"{of[0]['p99_ms']} ms",
                module=MODULE,
            )
