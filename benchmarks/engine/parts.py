"""The command line of measurements that have options of their own, a word each."""

import argparse
from collections.abc import Mapping
from types import ModuleType


def run_part(description: str, parts: Mapping[str, ModuleType]) -> None:
    """Measure the part that the command line names, with its options.

    Args:
        description: of all parts; its first line is printed.
        parts: modules with ``add_arguments`` and ``measure``, by their words.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    choose = parser.add_subparsers(required=True)
    for name, part in parts.items():
        summary = (part.__doc__ or "").partition("\n")[0]
        one = choose.add_parser(name, help=summary, description=part.__doc__)
        part.add_arguments(one)
        one.set_defaults(measure=part.measure)
    args = parser.parse_args()
    args.measure(args)
