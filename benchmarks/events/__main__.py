"""``python -m benchmarks.events [NAME ...] [--quick]``: train, judge, write results."""

import sys
from functools import partial
from importlib import import_module

from benchmarks.engine.__main__ import parse_options, run
from benchmarks.events.tables import TABLES

MODULE = "benchmarks.events"
WANTED = "wanted"


def main() -> None:
    """Measure what is named, or everything."""
    options = parse_options(__doc__, (*TABLES, WANTED))
    tables = import_module(f"{MODULE}.tables")
    measurements = {
        name: import_module(f"{MODULE}.{WANTED}").measure
        if name == WANTED
        else partial(tables.measure, name)
        for name in options.names or (*TABLES, WANTED)
    }
    sys.exit(run(measurements, "events", options.quick, MODULE))


if __name__ == "__main__":
    main()
