"""``python -m benchmarks.reinforcement [NAME ...] [--quick]``: train, judge, write results."""

from benchmarks.engine.__main__ import measure_named

NAMES = ("likes", "slates", "hacked", "plans")
MODULE = "benchmarks.reinforcement"


def main() -> None:
    """Measure what is named, or everything."""
    measure_named(__doc__, NAMES, MODULE)


if __name__ == "__main__":
    main()
