"""Inputs of an extreme size: one history of a million events, ids of 100 kB, catalogs of 1 and 2.

``prepare``, ``train``, ``evaluate``, ``recommend`` and ``export`` run on each, one after the other
in a fresh process; its imports do not count. The largest catalog is exported to FAISS alone.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.prepared import FOLDER
from benchmarks.engine.resources import SETTINGS, measure_call
from benchmarks.engine.rows import Row, at_most, row

NAME = Path(__file__).stem
SECONDS = at_most(120)
"""A verb that needs longer than this has a cost that grows faster than its input."""
NUM_USERS, LENGTH = 200, 10
WORKS = {
    "one history of 1,000,000 events": "history",
    "ids of 100 kB": "ids",
    "a catalog of 1 item": "one",
    "a catalog of 2 items": "two",
    "a catalog of 200,000 items": "catalog",
}


def measure(quick: bool) -> Iterator[Row]:
    """Yield the seconds of every verb on every work; the notes have the MiB above the start."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for title, kind in WORKS.items():
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            found = in_fresh_process(NAME, folder=folder, kind=kind, quick=quick)
        for verb, run in found.items():
            if isinstance(run, dict):
                note = f"{run['mb']:,.0f} MB above the start"
                yield row(
                    NAME, f"{title}: {verb}", [run["seconds"]], "s", target=SECONDS, note=note
                )


def probe(folder: str, kind: str, quick: bool) -> dict[str, Any]:
    """Run the verbs on one work."""
    work = Path(folder)
    scale = 100 if quick else 1
    users, items = draw_log(kind, scale)
    write_log(work / "log.csv", users, items, 100_000 // scale if kind == "ids" else 0)
    return {verb: measure_call(call) for verb, call in list_calls(work, kind, items)}


def draw_log(kind: str, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the user and the item of every event, in the order of time."""
    generator = np.random.default_rng(0)
    sizes = {"one": 1, "two": 2, "ids": 20, "history": 1000, "catalog": 200_000 // scale}
    num_items = sizes[kind]
    num_users = -(-num_items // LENGTH) if kind == "catalog" else NUM_USERS
    users = np.repeat(np.arange(num_users), LENGTH)
    items = generator.integers(0, num_items, len(users))
    if kind == "catalog":
        items = generator.permutation(len(users))
    if kind == "history":
        longest = 1_000_000 // scale
        users = np.concatenate([users, np.full(longest, num_users)])
        items = np.concatenate([items, generator.integers(0, num_items, longest)])
    return users, items


def write_log(file: Path, users: np.ndarray, items: np.ndarray, letters: int) -> None:
    """Write a log; ids have this number of letters more."""
    tail = "x" * letters
    with file.open("w", encoding="utf-8") as log:
        log.write("user,item,time\n")
        for time_, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
            log.write(f"u{user}{tail},i{item}{tail},{time_}\n")


def list_calls(work: Path, kind: str, items: np.ndarray) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the verbs by name; each needs what those before it made."""
    import seqrec
    import seqrec.jobs.evaluate  # noqa: F401
    import seqrec.jobs.recommend  # noqa: F401

    data, run = work / "data", work / "run"
    history = [f"i{item}" for item in items[-1_000_000:].tolist()]
    settings = list(SETTINGS)
    if kind in ("one", "two"):
        settings = [s for s in settings if not s.startswith("objective.loss")]
    yield "prepare", lambda: seqrec.prepare(work / "log.csv", out=data)
    yield "train", lambda: seqrec.train("sft", data=data, out=run, overrides=settings)
    if kind == "catalog":
        for to in ("faiss-flat", "faiss"):
            yield f"export {to}", lambda to=to: seqrec.export(run, to=to, out=work / to)
        return
    yield "evaluate", lambda: seqrec.evaluate([run, "popularity"], data=data)
    yield "recommend", lambda: seqrec.recommend(run, data=data, k=10, out=work / "lists.parquet")
    if kind == "history":
        yield "recommend --history", lambda: seqrec.recommend(run, history=history, k=10)
    yield "export numpy", lambda: seqrec.export(run, to="numpy", data=data, out=work / "numpy")
