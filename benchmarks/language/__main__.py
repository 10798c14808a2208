"""``python -m benchmarks.language [NAME ...] [--quick]``: train on text, write results."""

import sys
from importlib import import_module

from benchmarks.engine.__main__ import parse_options, run

NAMES = ("heads", "sft", "dpo", "full", "catalog_head", "items")
MODULE = "benchmarks.language"


def main() -> None:
    """Measure what is named, or everything."""
    options = parse_options(__doc__, NAMES)
    measurements = {
        name: import_module(f"{MODULE}.{name}").measure for name in options.names or NAMES
    }
    sys.exit(run(measurements, "language", options.quick, MODULE))


if __name__ == "__main__":
    main()
