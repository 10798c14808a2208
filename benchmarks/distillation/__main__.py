"""``python -m benchmarks.distillation [NAME ...] [--quick]``: train, judge, write results."""

import sys
from importlib import import_module

from benchmarks.engine.__main__ import parse_options, run

NAMES = ("students", "serving", "epochs", "memory")
MODULE = "benchmarks.distillation"


def main() -> None:
    """Measure what is named, or everything."""
    options = parse_options(__doc__, NAMES)
    measurements = {
        name: import_module(f"{MODULE}.{name}").measure for name in options.names or NAMES
    }
    sys.exit(run(measurements, "distillation", options.quick, MODULE))


if __name__ == "__main__":
    main()
