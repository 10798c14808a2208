"""``python -m benchmarks.preference [NAME ...] [--quick]``: train, judge, write results."""

from benchmarks.engine.__main__ import measure_named

NAMES = ("liked", "screening", "costs")
MODULE = "benchmarks.preference"


def main() -> None:
    """Measure what is named, or everything."""
    measure_named(__doc__, NAMES, MODULE)


if __name__ == "__main__":
    main()
