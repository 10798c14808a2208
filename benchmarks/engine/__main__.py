"""``python -m benchmarks.engine [NAME ...] [--quick]``: measure seqrec, write results and page."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.engine.measure import Failed
from benchmarks.engine.page import write_page
from benchmarks.engine.plots import write_plots
from benchmarks.engine.prepared import FOLDER, Missing
from benchmarks.engine.rows import RESULTS, Row, not_measured, write_rows

NAMES = (
    "products",
    "packing",
    "precision",
    "compile",
    "catalogs",
    "ranking",
    "prepare",
    "resources",
    "extremes",
    "stream",
    "reinforce",
    "quality",
    "lazy",
)

Measurement = Callable[[bool], Iterator[Row]]


def main() -> None:
    """Measure what is named, or everything."""
    measure_named(__doc__, NAMES, "benchmarks.engine")


def measure_named(description: str | None, names: Sequence[str], module: str) -> None:
    """Run a package whose measurements are its modules: what is named, or everything."""
    options = parse_options(description, names)
    measurements = {
        name: import_module(f"{module}.{name}").measure for name in options.names or names
    }
    sys.exit(run(measurements, module.rpartition(".")[2], options.quick, module))


def parse_options(description: str | None, names: Sequence[str]) -> argparse.Namespace:
    """``names`` and ``quick``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one run of few steps and small logs, kept apart from the results",
    )
    options = parser.parse_args()
    for name in options.names:
        if name not in names:
            parser.error(f"{name}: choose from {', '.join(names)}")
    return options


def run(
    measurements: dict[str, Measurement],
    results: str,
    is_quick: bool,
    module: str = "benchmarks.engine",
) -> int:
    """Measure one after the other and keep each row as soon as it is there.

    What fails, or lacks its data, has a row that says so.

    Returns:
        How many rows tell of a failure.
    """
    folder = FOLDER / "quick" if is_quick else RESULTS
    num_failed = 0
    for name, measure in measurements.items():
        print(f"{name}:", flush=True)
        rows = []
        for row in _all_rows(measure(is_quick), name, module):
            print(f"  {row}", flush=True)
            rows.append(row)
            write_rows(folder / f"{results}.json", name, rows)
        num_failed += sum(row.note.startswith("failed") for row in rows)
    write_plots(folder)
    if not is_quick:
        write_page(folder, Path(__file__).parents[1] / "README.md")
    print(folder)
    return num_failed


def _all_rows(rows: Iterator[Row], name: str, module: str) -> Iterator[Row]:
    """The rows, and one that says why the rest of them was not measured."""
    try:
        yield from rows
    except (Missing, Failed) as reason:
        yield not_measured(name, name, reason, module)


if __name__ == "__main__":
    main()
