"""``python -m benchmarks.stores [NAME ...] [--quick]``: vector stores beside exact search."""

import sys
from importlib import import_module

from benchmarks.engine.__main__ import parse_options, run

NAMES = ("store-lists", "store-million", "store-million-ann")
MODULE = "benchmarks.stores"


def main() -> None:
    """Measure what is named, or everything."""
    options = parse_options(__doc__, NAMES)
    measurements = {
        name: import_module(f"{MODULE}.{name.removeprefix('store-').replace('-', '_')}").measure
        for name in options.names or NAMES
    }
    sys.exit(run(measurements, "stores", options.quick, MODULE))


if __name__ == "__main__":
    main()
