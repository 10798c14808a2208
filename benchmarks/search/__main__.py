"""Measure search in words: of tags, genres, conversations and half-remembered films.

    python -m benchmarks.search [NAME ...] --run SEARCH_RUN --start RUN --data DATA --words DIR

``DIR`` holds files of JSON lines: ``tags-seen.jsonl`` and ``tags-unseen.jsonl``,
``redial_dev.jsonl``, ``tip_of_the_tongue_train.jsonl``. ``RUN`` is the model that search training
started from: late fusion with it is the baseline. ``--run`` may be given for several seeds. Weights
of texts are chosen on validation or on the other half of the conversations, never on what is
reported.

Results go to ``results/search.json`` and to the tables of ``README.md``.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.engine.page import write_page
from benchmarks.engine.rows import RESULTS, Row, write_rows
from benchmarks.search.asked import ask_half_remembered, ask_in_turns
from benchmarks.search.conditions import measure_conditions, measure_plain
from benchmarks.search.evening import measure_evening
from benchmarks.search.foreign import measure_foreign
from benchmarks.search.questions import measure_questions, measure_tags
from benchmarks.search.readings import measure_readings
from benchmarks.search.seeds import pool_rows
from benchmarks.search.systems import Systems

Measure = Callable[[Systems, Path, int | None], Iterator[Row]]

NAMES: dict[str, Measure] = {
    "unseen-tags": partial(measure_tags, name="unseen-tags", file="tags-unseen.jsonl"),
    "seen-tags": partial(measure_tags, name="seen-tags", file="tags-seen.jsonl"),
    "conditions": measure_conditions,
    "turns": partial(measure_questions, name="turns", read=ask_in_turns, file="redial_dev.jsonl"),
    "remembered": partial(
        measure_questions,
        name="remembered",
        read=ask_half_remembered,
        file="tip_of_the_tongue_train.jsonl",
    ),
    "evening": measure_evening,
    "no-request": measure_plain,
    "foreign": measure_foreign,
    "readings": measure_readings,
}


def main() -> None:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME")
    parser.add_argument("--run", required=True, action="append", help="again for another seed")
    for name in ("start", "data"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--encoder", help="another one to compare where people describe films")
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1_000, help="most requests of each kind")
    args = parser.parse_args()
    opened = [Systems.open(run, args.start, args.data, args.encoder) for run in args.run]
    for name in args.names or NAMES:
        of_seeds = [list(NAMES[name](one, args.words, args.limit)) for one in opened]
        rows = []
        for row in map(pool_rows, zip(*of_seeds, strict=True)):
            command = f"{row.command} --run SEARCH_RUN --start RUN --data DATA --words DIR"
            rows.append(replace(row, command=command))
            print(row, flush=True)
        write_rows(RESULTS / "search.json", name, rows)
    write_page(RESULTS, RESULTS.parent / "README.md")


if __name__ == "__main__":
    main()
