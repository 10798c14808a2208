"""Times as input, leave-one-out, beside RecTools' HSTU, on the users whose times the copy holds.

The repackaged MovieLens-1M has exact times of users 1 to 2999. Elapsed time to the target is known
to "target-time" and HSTU, as in the code of HSTU; "past-times" reads the times of the history.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.peers import peer
from benchmarks.engine.prepared import FOLDER, Missing, prepared
from benchmarks.engine.rows import Row
from benchmarks.quality.table import RECIPES, judged, rows_of, trained

NAME = Path(__file__).stem
DATA = "ml-1m-timed"
RECIPE = RECIPES / "ml1m-a-best" / "recipe.yaml"
TIMED = {
    f"{DATA}-target-time": "model.time_bias=target_time",
    f"{DATA}-past-times": "model.time_bias=past_times",
}
"""The switch of every system, the first of which is compared with the others."""
PEER = "rectools-hstu"
PEER_OPTIONS = ("--batch-size", "16", "--patience", "8", "--minutes", "240", "--threads", "1")
FLOORS = ("transition-graph", "pctm")


def measure(quick: bool) -> Iterator[Row]:
    """One table: three seeds of each system, and the peer's lists."""
    folder = prepared(DATA)
    runs = [trained(RECIPE, folder, way, quick=quick, name=name) for name, way in TIMED.items()]
    options = []
    try:
        options = ["--recommendations", str(list_by_peer(folder, quick))]
    except Missing as missing:
        print(f"without {PEER}: {missing}", flush=True)
    result = judged(DATA, runs, folder, *options, baselines=FLOORS, quick=quick)
    yield from rows_of(NAME, f"{DATA} (T)", result, {})


def list_by_peer(data: Path, quick: bool) -> Path:
    """The lists of RecTools' HSTU; a file that is there is not made again.

    Raises:
        Missing: the peer's environment does not exist.
    """
    file = FOLDER / ("quick" if quick else "lists") / f"{PEER}.parquet"
    if quick or not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        few = ("--epochs", "1", "--blocks", "2") if quick else ()
        kept = () if quick else ("--checkpoints", str(file.with_suffix(".checkpoints")))
        options = ("--data", str(data), "--out", str(file), *PEER_OPTIONS, *kept, *few)
        print(peer("rectools", *options, script="hstu.py"), flush=True)
    return file
