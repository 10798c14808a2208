"""``python -m benchmarks.serving [NAME ...] [--quick]``: measure the server, write results.

``SECONDS`` in the environment lengthens the endurance run: 600 for ten minutes at each load.
"""

import sys
from functools import partial
from importlib import import_module

from benchmarks.engine.__main__ import Measurement, parse_options, run
from benchmarks.serving.sizes import SIZES
from benchmarks.serving.sizes import measure as measure_size

NAMES = ("throughput", *SIZES, "endurance", "reloads", "ends")
MODULE = "benchmarks.serving"


def get_measurement(name: str) -> Measurement:
    """Return the function of a measurement, loaded when it is asked for."""
    if name in SIZES:
        return partial(measure_size, name)
    return import_module(f"{MODULE}.{name}").measure


def main() -> None:
    """Measure what is named, or everything."""
    options = parse_options(__doc__, NAMES)
    measurements = {name: get_measurement(name) for name in options.names or NAMES}
    sys.exit(run(measurements, "serving", options.quick, MODULE))


if __name__ == "__main__":
    main()
