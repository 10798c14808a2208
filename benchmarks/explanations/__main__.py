"""Measure explanations of the top item of test users.

    python -m benchmarks.explanations titles RUN --data DATA [--users 200] [--explain-with MODEL]
    python -m benchmarks.explanations sentences RUN --data DATA --out FOLDER

RUN is a trained decoder, DATA its prepared folder, for the sentences with plots.
"""

import argparse

from benchmarks.explanations import titles, trained

PARTS = {"titles": titles, "sentences": trained}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    choose = parser.add_subparsers(required=True)
    for name, part in PARTS.items():
        summary = (part.__doc__ or "").partition("\n")[0]
        one = choose.add_parser(name, help=summary, description=part.__doc__)
        part.add_arguments(one)
        one.set_defaults(measure=part.measure)
    args = parser.parse_args()
    args.measure(args)


if __name__ == "__main__":
    main()
