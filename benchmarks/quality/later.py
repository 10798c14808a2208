"""Global-time splits: no later interaction is trained on.

MovieLens-1M is limited to users whose times the copy holds: 1 to 2999 in the repackaged one.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row
from benchmarks.quality.table import MODULE, RECIPES, judged, rows_of, trained, write_expected

NAME = Path(__file__).stem
DATA = ("ml-1m-later", "ml-100k-later")
TIMED = "model.time_bias=past_times"
"""The switch that only data with times have."""


def measure(quick: bool) -> Iterator[Row]:
    """A table a data set."""
    for data in DATA:
        folder = prepared(data)
        recipe = next((RECIPES / data).glob("*.yaml"))
        run = trained(recipe, folder, quick=quick, name=data)
        timed = trained(recipe, folder, TIMED, quick=quick, name=f"{data}-timed")
        result = judged(data, [run, timed], folder, quick=quick)
        if not quick:
            write_expected(recipe.parent, data, result, f"python -m {MODULE} {NAME}")
        yield from rows_of(NAME, data, result, {})
