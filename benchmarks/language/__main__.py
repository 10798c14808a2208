"""``python -m benchmarks.language [NAME ...] [--quick]``: train on text, write results."""

from benchmarks.engine.__main__ import measure_named

NAMES = ("heads", "sft", "dpo", "full", "catalog_head", "items", "mixed", "cold", "llama_cpp")
MODULE = "benchmarks.language"


def main() -> None:
    """Measure what is named, or everything."""
    measure_named(__doc__, NAMES, MODULE)


if __name__ == "__main__":
    main()
