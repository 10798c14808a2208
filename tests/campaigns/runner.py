"""The runner of all campaigns: seeded cases, resumable, with a table at the end."""

import argparse
import json
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from seqrec.errors import SeqRecError

RESULTS = ("right", "refused", "wrong", "traceback")
FAILURES = ("wrong", "traceback")
SECONDS_BETWEEN_LINES = 30


@dataclass(frozen=True)
class Verdict:
    """The result of one case."""

    kind: str
    """The row of the table that counts the case."""
    result: str
    """One of ``RESULTS``."""
    detail: str = ""
    """The error's line, or the difference from the right answer."""


@dataclass(frozen=True)
class Case:
    """A case that ran; ``--case NUMBER`` with the same seed runs it again."""

    number: int
    kind: str
    result: str
    detail: str


Judge = Callable[[np.random.Generator, Path], Verdict]


def refuse(kind: str, error: SeqRecError) -> Verdict:
    """Return the verdict of an error: ``refused`` if its text is one line."""
    line = str(error)
    return Verdict(kind, "wrong" if "\n" in line.strip() or not line else "refused", line)


def run_case(judge: Judge, number: int, seed: int, folder: Path) -> Case:
    """Return the result of one case; an exception that the judge lets through is a traceback."""
    try:
        verdict = judge(np.random.default_rng([seed, number]), folder)
    except Exception:
        verdict = Verdict("?", "traceback", traceback.format_exc())
    return Case(number, verdict.kind, verdict.result, verdict.detail)


def run_campaign(
    judge: Judge,
    numbers: Iterable[int],
    seed: int,
    results: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Case]:
    """Run cases, each in an empty folder that is deleted afterwards.

    Args:
        judge: runs one case.
        numbers: numbers of the cases; with the seed, each determines its case.
        seed: the campaign's seed.
        results: file that gets a line a case; the cases that it holds are not run again.
        say: called with a line of progress every half a minute.
    """
    cases = _read_cases(results, seed)
    shown = time.monotonic()
    for number in numbers:
        if number in cases:
            continue
        with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
            cases[number] = run_case(judge, number, seed, Path(folder))
        if results is not None:
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"seed": seed, **asdict(cases[number])}) + "\n")
        if time.monotonic() - shown > SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            say(f"{len(cases):,} cases, {len(failures(cases.values()))} failed")
    return [cases[number] for number in sorted(cases)]


def failures(cases: Iterable[Case]) -> list[Case]:
    """Return the cases that are wrong or end in a traceback."""
    return [case for case in cases if case.result in FAILURES]


def format_table(cases: Sequence[Case]) -> str:
    """Return a Markdown table: a row a kind, a column a result, and the sum."""
    counts = Counter((case.kind, case.result) for case in cases)
    kinds = sorted({case.kind for case in cases})
    lines = [f"| kind | {' | '.join(RESULTS)} |", "|---|" + "---|" * len(RESULTS)]
    for kind in kinds:
        lines.append(f"| {kind} | {' | '.join(f'{counts[kind, one]:,}' for one in RESULTS)} |")
    total = Counter(case.result for case in cases)
    lines.append(f"| all | {' | '.join(f'{total[one]:,}' for one in RESULTS)} |")
    return "\n".join(lines)


def main(judge: Judge, num_cases: int, arguments: Sequence[str] | None = None) -> int:
    """Run a campaign from the command line; return 1 if a case failed, else 0.

    Args:
        judge: runs one case.
        num_cases: default of ``--cases``.
        arguments: the command line; that of the process if None.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=num_cases)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="file of finished cases; resumes from it")
    parser.add_argument("--case", type=int, help="run this case alone and keep its folder")
    options = parser.parse_args(arguments)
    if options.case is not None:
        folder = Path(tempfile.mkdtemp(prefix="campaign-"))
        print(folder, run_case(judge, options.case, options.seed, folder), sep="\n")
        return 0
    cases = run_campaign(judge, range(options.cases), options.seed, options.results, print)
    for case in failures(cases):
        print(f"case {case.number} ({case.kind}): {case.result}: {case.detail}")
    print(format_table(cases))
    return int(bool(failures(cases)))


def _read_cases(results: Path | None, seed: int) -> dict[int, Case]:
    if results is None or not results.exists():
        return {}
    lines = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    own = [line for line in lines if line.pop("seed") == seed]
    return {line["number"]: Case(**line) for line in own}
