"""The prepared folders, made once by ``seqrec prepare`` and then kept."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine.machine import ROOT
from benchmarks.engine.ratings import write_ratings
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError

FOLDER = ROOT / "benchmarks" / ".data"
"""Ignored by git; everything in it can be made again."""


class Missing(Exception):
    """Something that a measurement needs and that cannot be had here."""


@dataclass(frozen=True)
class Known:
    """A known data set, and how it is prepared."""

    source: str
    options: tuple[str, ...] = ()
    order: str | None = None
    """A column that some copies have, which is each user's order already."""


SUCCESSIVE = ("--targets", "successive")
KNOWN = {
    "beauty": Known("amazon-beauty"),
    "ml-1m": Known("movielens-1m", ("--min-item", "5"), order="position"),
    "ml-100k": Known("movielens-100k"),
    "ml-1m-later": Known("movielens-1m", ("--split-by", "global-time:.9", *SUCCESSIVE)),
    "ml-100k-later": Known("movielens-100k", ("--split-by", "global-time:.9", *SUCCESSIVE)),
    "ml-1m-last": Known(
        "movielens-1m", ("--min-item", "5", "--split-by", "last-n:10"), order="position"
    ),
    "ml-1m-timed": Known(
        "movielens-1m", ("--min-item", "5", "--where", "timestamp is not null and user_id < 3000")
    ),
    "ml-1m-cold": Known(
        "movielens-1m", ("--min-item", "5", "--cold-share", ".1"), order="position"
    ),
}


def prepared(name: str) -> Path:
    """The prepared folder of a known data set.

    Raises:
        Missing: no copy can be had.
    """
    known, folder = KNOWN[name], FOLDER / name
    if is_whole(folder):
        return folder
    orders = [["--order", known.order]] if known.order else []
    for order in [*orders, []]:
        reason = _prepare(known.source, folder, *known.options, *order)
        if reason is None:
            return folder
    raise Missing(reason)


def ratings_csv(num_rows: int) -> Path:
    """A simulated ``ratings.csv`` of so many rows."""
    file = FOLDER / f"ratings-{num_rows}" / "ratings.csv"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name("ratings.csv.partial")
        write_ratings(unfinished, num_rows)
        unfinished.rename(file)
    return file


def prepared_ratings(num_rows: int) -> Path:
    """The same, prepared."""
    folder = FOLDER / f"ratings-{num_rows}" / "prepared"
    if not is_whole(folder):
        reason = _prepare(str(ratings_csv(num_rows)), folder)
        if reason is not None:
            raise Missing(reason)
    return folder


def is_whole(folder: Path) -> bool:
    """Return whether this version of seqrec can read the prepared folder."""
    try:
        PreparedData.open(folder)
    except SeqRecError:
        return False
    return True


def _prepare(source: str, folder: Path, *options: str) -> str | None:
    """Prepare, and say why it failed if it did."""
    command = [sys.executable, "-m", "seqrec", "prepare", source, "--out", str(folder)]
    done = subprocess.run(
        [*command, *options, "--overwrite"], cwd=ROOT, capture_output=True, text=True
    )
    if not done.returncode:
        return None
    print(done.stderr, end="", file=sys.stderr, flush=True)
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    culprit, _, reason = lines[-1].removeprefix("seqrec: ").partition(": ")
    return f"{culprit}: {reason.partition(': ')[0]}"
