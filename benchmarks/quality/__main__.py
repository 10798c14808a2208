"""``python -m benchmarks.quality [NAME ...] [--quick]``: train, judge, write results and page."""

import sys
from functools import partial
from importlib import import_module

from benchmarks.engine.__main__ import parse_options, run
from benchmarks.quality.recipes import BEST, measure

NAMES = (*BEST, "counted", "later", "timed", "priors", "growing", "weeks", "cold", "ablations")
MODULE = "benchmarks.quality"


def main() -> None:
    """Measure what is named, or everything."""
    options = parse_options(__doc__, NAMES)
    measurements = {
        name: partial(measure, name) if name in BEST else import_module(f"{MODULE}.{name}").measure
        for name in options.names or NAMES
    }
    sys.exit(run(measurements, "quality", options.quick, MODULE))


if __name__ == "__main__":
    main()
