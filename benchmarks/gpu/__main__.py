"""``python -m benchmarks.gpu``: check and measure seqrec on a GPU in at most nine minutes."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.engine.measure import Failed
from benchmarks.engine.prepared import Missing
from benchmarks.engine.rows import RESULTS, Row, not_measured, write_rows
from benchmarks.gpu.place import MODULE, Place

NAMES = ("losses", "updates", "ranking", "resuming", "cross_entropy", "steps")
SECONDS = 540
OUT_OF_TIME = Missing("time that was left")
NO_GPU = "no CUDA device here: nothing was checked (--device cpu --small tries the script itself)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, measure, write the rows; return 1 if a check failed, else 0."""
    options = parse(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(NO_GPU)
        return 0
    num_failed = 0
    with tempfile.TemporaryDirectory(prefix="seqrec-gpu-") as folder:
        place = Place(
            torch.device(options.device),
            options.small,
            Path(folder),
            time.monotonic() + options.seconds,
        )
        print(f"device: {place.name}", flush=True)
        for name in options.names or NAMES:
            print(f"{name}:", flush=True)
            rows = []
            for row in limited(import_module(f"{MODULE}.{name}").measure, place, name):
                print(f"  {row}{'  NOT MET' if is_failure(row) else ''}", flush=True)
                rows.append(row)
            num_failed += sum(map(is_failure, rows))
            write_rows(options.out, name, rows)
    print(options.out)
    return int(num_failed > 0)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes of a test")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="no work starts after them")
    parser.add_argument("--out", type=Path, help="file of the rows", default=RESULTS / "gpu.json")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"{name}: choose from {', '.join(NAMES)}")
    return options


def limited(measure: Callable[[Place], Iterator[Row]], place: Place, name: str) -> Iterator[Row]:
    """Yield the rows until the time is over; a last row says why the others are missing.

    One fault must not hide the results after it: whatever is raised becomes a row.
    """
    try:
        if place.is_over:
            raise OUT_OF_TIME
        for row in measure(place):
            yield row
            if place.is_over:
                raise OUT_OF_TIME
    except Missing as reason:
        yield not_measured(name, name, reason, MODULE)
    except Exception as error:
        traceback.print_exc()
        lines = str(error).splitlines() or [type(error).__name__]
        yield not_measured(name, name, Failed(lines[0]), MODULE)


def is_failure(row: Row) -> bool:
    """Return whether a row is a check that was not met or could not be made."""
    return row.is_met is False or row.note.startswith("failed")


if __name__ == "__main__":
    sys.exit(main())
