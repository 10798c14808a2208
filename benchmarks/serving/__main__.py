"""``python -m benchmarks.serving [NAME ...] [--quick]``: measure the server, write results.

``SECONDS`` in the environment lengthens the endurance run: 600 for ten minutes at each load.
"""

import sys
from importlib import import_module

from benchmarks.engine.__main__ import parse_options, run

NAMES = ("throughput", "sizes", "endurance", "reloads", "ends")
MODULE = "benchmarks.serving"


def main() -> None:
    """Measure what is named, or everything."""
    options = parse_options(__doc__, NAMES)
    measurements = {
        name: import_module(f"{MODULE}.{name}").measure for name in options.names or NAMES
    }
    sys.exit(run(measurements, "serving", options.quick, MODULE))


if __name__ == "__main__":
    main()
