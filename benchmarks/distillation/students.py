"""A teacher, and three seeds of the student: alone, with a live teacher, and from a cache.

One seed of the student that takes a cache's tail mass as zero.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.quality.table import RECIPES, SEEDS, judged, rows_of, seqrec, trained
from seqrec.builders.teachers import fingerprints
from seqrec.data.caches.teacher import read_header

NAME = Path(__file__).stem
MODULE = "benchmarks.distillation"
TEACHERS = {
    "ml-1m": RECIPES / "distillation" / "ml1m-teacher.yaml",
    "beauty": RECIPES / "beauty-best" / "recipe.yaml",
}
"""By the data; Beauty's is the one that the table of quality trains, too."""
RECIPES_OF = ("student", "taught")
"""The same student, alone and with a teacher, each by a recipe of its own."""
CACHE_SIZE = 200
METRIC = "ndcg@10"
WORTH_IT, AS_GOOD, NOT_INFERIOR = map(at_least, (1.03, 0.98, 0.97))


def measure(quick: bool) -> Iterator[Row]:
    """Tables of accuracy."""
    for data, large in TEACHERS.items():
        folder, name = prepared(data), data.replace("-", "")
        alone, taught = (RECIPES / "distillation" / f"{name}-{of}.yaml" for of in RECIPES_OF)
        teacher = teacher_of(name, large, folder, quick)
        plain = trained(alone, folder, quick=quick, name=f"{name}-student")
        asked = f"objective.teachers=[{teacher}]"
        live = trained(taught, folder, asked, quick=quick, name=f"{name}-student-live")
        read = f"objective.cache={cached(teacher, folder, quick)}"
        kept = trained(taught, folder, read, quick=quick, name=f"{name}-student-cache")
        sure = trained(
            taught,
            folder,
            read,
            "objective.use_tail_mass=false",
            quick=quick,
            name=f"{name}-student-cache-without-rest",
            seeds=SEEDS[:1],
        )
        systems = [live, kept, sure, plain, teacher]
        result = judged(
            f"{data}-students", systems, folder, "--against", live.name, baselines=(), quick=quick
        )
        worth = judged(f"{data}-teacher", [teacher, plain], folder, baselines=(), quick=quick)
        yield from rows_of(NAME, data, result, {}, module=MODULE)
        names = [system.name for system in systems]
        yield from verdicts(data, result, compared(worth)[plain.name], *names)


def teacher_of(name: str, recipe: Path, data: Path, quick: bool) -> Path:
    """The run that teaches: the first seed of the recipe, which other tables may share."""
    is_shared = recipe.stem == "recipe"
    seeds = recipe.parent.name if is_shared else f"{recipe.stem}-seeds"
    runs = trained(recipe, data, quick=quick, name=seeds, seeds=SEEDS[:1])
    out = runs.parent / f"{name}-teacher"
    shutil.copytree(runs / "seed-0", out, dirs_exist_ok=True)
    return out


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
    """The student's metric relative to the teacher's, the undistilled student's and the cache's.

    Also the teacher's relative to the undistilled student's: the room for distillation.
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
    """Return the verdict on a positive difference."""
    verdict = "significant" if found["is_significant"] else "not significant"
    return f"p = {found['p_value']:.4f}, {verdict}"


def cached(teacher: Path, data: Path, quick: bool) -> Path:
    """The teacher's answers; made once a teacher."""
    out = teacher.with_name(f"{teacher.name}-answers")
    if quick or not out.exists() or read_header(out)["teachers"] != fingerprints([teacher]):
        options = ["--data", str(data), "--out", str(out), "--k", str(CACHE_SIZE), "--overwrite"]
        seqrec("cache", str(teacher), *options)
    return out
