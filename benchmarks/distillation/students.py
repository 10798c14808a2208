"""A teacher, and three seeds of the student: alone, taught live, and taught from a cache.

One seed of the student to whom a cache's other titles are impossible.
"""

import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.quality.table import RECIPES, SEEDS, judged, rows_of, seqrec, trained

NAME = Path(__file__).stem
MODULE = "benchmarks.distillation"
TEACHERS = {
    "ml-1m": RECIPES / "distillation" / "ml1m-teacher.yaml",
    "beauty": RECIPES / "beauty-best" / "recipe.yaml",
}
"""By the data; Beauty's is the one that the table of quality trains, too."""
CACHE_SIZE = 200
METRIC = "ndcg@10"
TAUGHT = "objective.name=distillation"
WORTH_IT, AS_GOOD, NOT_INFERIOR, FASTER = map(at_least, (1.03, 0.98, 0.97, 4))


def measure(quick: bool) -> Iterator[Row]:
    """Tables of accuracy, and what student and teacher cost to serve."""
    for data, large in TEACHERS.items():
        folder, name = prepared(data), data.replace("-", "")
        student = RECIPES / "distillation" / f"{name}-student.yaml"
        is_shared = large.stem == "recipe"
        teacher_name = large.parent.name if is_shared else large.stem
        teacher = trained(large, folder, quick=quick, name=teacher_name, seeds=SEEDS[:1])
        plain = trained(student, folder, quick=quick, name=f"{name}-student")
        first = teacher / "seed-0"
        taught = [TAUGHT, f"objective.teachers=[{first}]"]
        live = trained(student, folder, *taught, quick=quick, name=f"{name}-student-live")
        from_cache = [TAUGHT, f"objective.cache={cached(first, folder, quick)}"]
        kept = trained(student, folder, *from_cache, quick=quick, name=f"{name}-student-cache")
        sure = trained(
            student,
            folder,
            *from_cache,
            "objective.cache_rest=false",
            quick=quick,
            name=f"{name}-student-cache-without-rest",
            seeds=SEEDS[:1],
        )
        systems = [live, kept, sure, plain, teacher]
        result = judged(
            f"{data}-students", systems, folder, "--against", live.name, floors=(), quick=quick
        )
        worth = judged(f"{data}-teacher", [teacher, plain], folder, floors=(), quick=quick)
        yield from rows_of(NAME, data, result, {}, module=MODULE)
        names = [system.name for system in systems]
        yield from verdicts(data, result, compared(worth)[plain.name], *names)
        yield from costs(data, live, teacher)


def compared(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By the other system, how the one stands to it."""
    return {found["other"]: found for found in result["comparisons"] if found["metric"] == METRIC}


def verdicts(
    data: str,
    result: Mapping[str, Any],
    worth: Mapping[str, Any],
    live: str,
    kept: str,
    sure: str,
    plain: str,
    teacher: str,
) -> Iterator[Row]:
    """How the student's metric stands to the teacher's, to its own untaught, and to the cache's.

    And the teacher's to the untaught student's: whether there is anything to distil.
    """
    mean = {entry["system"]: entry[METRIC] for entry in result["rows"]}
    against = compared(result)
    lost = against[kept]["interval"][1] / mean[live]
    for work, value, target, note in (
        (f"{teacher} over {plain}", mean[teacher] / mean[plain], WORTH_IT, luck(worth)),
        (f"{live} over {teacher}", mean[live] / mean[teacher], AS_GOOD, ""),
        (f"{live} over {plain}", mean[live] / mean[plain], None, luck(against[plain])),
        (
            f"{kept} over {live}, lower end of the paired 95 % interval",
            1 - lost,
            NOT_INFERIOR,
            f"{mean[kept] / mean[live]:.3f} of it",
        ),
        (f"{sure} over {live}", mean[sure] / mean[live], None, luck(against[sure])),
    ):
        yield row(
            NAME,
            f"{data}, {METRIC}: {work}",
            [value],
            "",
            system=live,
            target=target,
            note=note,
            module=MODULE,
        )


def luck(found: Mapping[str, Any]) -> str:
    """Whether a difference is more."""
    verdict = "significant" if found["is_significant"] else "not significant"
    return f"p = {found['p_value']:.4f}, {verdict}"


def cached(teacher: Path, data: Path, quick: bool) -> Path:
    """The teacher's answers; made once."""
    out = FOLDER / ("quick" if quick else "runs") / f"{teacher.parent.name}-answers"
    options = ["--data", str(data), "--out", str(out), "--k", str(CACHE_SIZE), "--overwrite"]
    seqrec("cache", str(teacher), *options)
    return out


def costs(data: str, live: Path, teacher: Path) -> Iterator[Row]:
    """What ``metrics.json`` says of serving, the median over seeds."""
    runs = [json.loads((run / "metrics.json").read_text()) for run in sorted(live.glob("seed-*"))]
    serving = [list(run["serving"].values()) for run in runs]
    speed = "histories_per_second_batch_256"
    for place, system in enumerate((live.name, teacher.name)):
        of: list[dict[str, Any]] = [run[place] for run in serving]
        ratio = statistics.median(run[0][speed] / run[1][speed] for run in serving)
        first = of[0]
        share = first["non_embedding_parameters"] / serving[0][1]["non_embedding_parameters"]
        yield row(
            NAME,
            f"{data}, serving in batches of 256",
            [run[speed] for run in of],
            "histories/s",
            system=system,
            ratio=ratio if place == 0 else None,
            target=FASTER if place == 0 else None,
            note=f"{first['megabytes']} MB, {first['non_embedding_parameters']:,} parameters "
            f"beside titles' vectors ({share:.1%} of the teacher's); one history: p50 "
            f"{first['p50_ms']} ms, p99 {first['p99_ms']} ms",
            module=MODULE,
        )
