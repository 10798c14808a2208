"""Measure drafts of tags and summaries.

    python -m benchmarks.drafts tags --data DATA --tags TAGS.jsonl
    python -m benchmarks.drafts gain --data DATA --tags TAGS.jsonl --turns REDIAL.jsonl
    python -m benchmarks.drafts circle --data DATA --out FOLDER

DATA is a prepared folder whose items have plots. No person judged anything here.
"""

import argparse

from benchmarks.drafts import circle, gain, tags

PARTS = {"tags": tags, "gain": gain, "circle": circle}


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
