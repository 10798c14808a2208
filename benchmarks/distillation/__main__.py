"""``python -m benchmarks.distillation [NAME ...] [--quick]``: train, judge, write results."""

from benchmarks.engine.__main__ import measure_named

NAMES = ("students", "serving", "epochs", "memory")
MODULE = "benchmarks.distillation"


def main() -> None:
    """Measure what is named, or everything."""
    measure_named(__doc__, NAMES, MODULE)


if __name__ == "__main__":
    main()
