"""The campaign of generated logs: the right histories in order, or one line.

Each case writes a small log with known histories in one of many forms: format, compression,
encoding, columns, units of time, delimiters, quoting, number of files, and sometimes dirt. A
``refused`` verdict of a log without dirt is a failure: such a log must be read.
"""

import bz2
import gzip
import io
import json
import lzma
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from seqrec.data.log.sources import read_source
from seqrec.data.preparation.filters import Filters
from seqrec.data.preparation.interactions import prepare_interactions
from seqrec.data.splits import parse_split
from seqrec.errors import SeqRecError
from tests.campaigns.runner import Verdict, main, refuse

Histories = dict[str, list[str]]
Row = tuple[str, str, datetime]

START = datetime(2015, 1, 1, tzinfo=UTC)
HEADERS = (
    ("user_id", "item_id", "timestamp"),
    ("userId", "movieId", "time"),
    ("uid", "asin", "ts"),
)
TIME_FORMATS: dict[str, Callable[[datetime], str]] = {
    "s": lambda at: str(int(at.timestamp())),
    "ms": lambda at: str(int(at.timestamp()) * 1000),
    "us": lambda at: str(int(at.timestamp()) * 1_000_000),
    "ns": lambda at: str(int(at.timestamp()) * 1_000_000_000),
    "iso": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S"),
    "iso z": lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "offset": lambda at: (at + timedelta(hours=2)).strftime("%Y-%m-%d %H:%M:%S+02:00"),
    "utc": lambda at: at.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "spaced": lambda at: at.strftime("%Y-%m-%d %H:%M:%S"),
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le")
CLEAN = "clean"
HARMLESS = ("blank lines", "blank cells at the end", "duplicates", "spaces around ids")
"""Dirt that leaves one right answer."""
DOUBTFUL = (
    "missing id",
    "missing time",
    "words for nothing",
    "mixed units",
    "ambiguous dates",
    "latin-1",
    "ragged row",
    "NaN id",
    "open quotation",
    "cut short",
    "swapped bytes",
)
"""Dirt for which one line is the right answer, too."""


def zipped(content: bytes) -> bytes:
    """Return a zip archive of one file."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("log.csv", content)
    return target.getvalue()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    "zip": zipped,
}


def draw_rows(generator: np.random.Generator) -> list[Row]:
    """Return interactions at distinct times, in random order; ids of one of five kinds."""
    kind = generator.choice(["numbers", "words", "zeros", "unicode", "long"])
    make = {
        "numbers": lambda number: str(number + 1),
        "words": lambda number: f"id-{number}",
        "zeros": lambda number: f"{number:05}",
        "unicode": lambda number: f"Amélie № {number}",
        "long": lambda number: str(10**17 + number),
    }[str(kind)]
    num_rows = int(generator.integers(8, 40))
    users = generator.integers(0, max(2, num_rows // 5), num_rows)
    items = generator.integers(100, 130, num_rows)
    days = generator.choice(4000, num_rows, replace=False)
    seconds = generator.integers(0, 86_400, num_rows)
    return [
        (
            f"{make(int(user))}",
            make(int(item)),
            START + timedelta(days=int(day), seconds=int(second)),
        )
        for user, item, day, second in zip(users, items, days, seconds, strict=True)
    ]


def sort_histories(rows: list[Row]) -> Histories:
    """Return each user's items by time."""
    histories: Histories = {}
    for user, item, _ in sorted(rows, key=lambda row: row[2]):
        histories.setdefault(user, []).append(item)
    return histories


def write_text(
    generator: np.random.Generator, rows: list[Row], folder: Path, dirt: str
) -> tuple[str, Path]:
    """Write delimited text; return the kind of file and its path."""
    delimiter = str(generator.choice([",", ";", "\t", "|", "::"]))
    if dirt == "open quotation" and delimiter == "::":
        delimiter = ","  # text with a long delimiter has no quotations
    unit = str(generator.choice(list(TIME_FORMATS)))
    write = TIME_FORMATS[unit]
    if dirt == "ambiguous dates":
        rows = [(user, item, at.replace(day=1 + at.day % 12)) for user, item, at in rows]
        write = lambda at: at.strftime("%m/%d/%Y %H:%M:%S")  # noqa: E731
    cells = [[user, item, write(at)] for user, item, at in rows]
    if dirt == "mixed units":
        cells[1::2] = [[user, item, TIME_FORMATS["ms"](at)] for user, item, at in rows[1::2]]
    order = generator.permutation(3)
    header = [HEADERS[int(generator.integers(len(HEADERS)))][column] for column in order]
    cells = [[row[column] for column in order] for row in cells]
    place = int(generator.integers(len(cells)))
    id_place = int(np.argmin(order))
    changes = {"missing id": "", "words for nothing": "NULL", "NaN id": "nan"}
    if dirt in changes:
        cells[place][id_place] = changes[dirt]
    if dirt == "missing time":
        cells[place][int(np.argmax(order))] = ""
    if dirt == "duplicates":
        cells.append(cells[place])
    if dirt == "spaces around ids":
        cells = [
            [f" {cell} " if column == id_place else cell for column, cell in enumerate(row)]
            for row in cells
        ]
    if dirt == "ragged row":
        cells[place] = [*cells[place], "x", "y"]
    quote = '"' if delimiter != "::" and generator.random() < 0.3 else ""
    lines = [delimiter.join(header)]
    lines += [delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in cells]
    if dirt == "blank lines":
        lines = ["", lines[0], *lines[1:4], "", *lines[4:], "", ""]
    if dirt == "blank cells at the end":
        lines.append(delimiter * 2)
    if dirt == "open quotation":
        lines[1 + place] = '"' + lines[1 + place].lstrip('"')
    ends = str(generator.choice(["\n", "\r\n"] if dirt == "blank lines" else ["\n", "\r\n", "\r"]))
    encoding = "latin-1" if dirt == "latin-1" else str(generator.choice(ENCODINGS))
    content = (ends.join(lines) + ends).encode(encoding, "replace")
    compression = str(generator.choice(list(COMPRESSIONS)))
    return (
        f"text {compression}",
        write_bytes(generator, COMPRESSIONS[compression](content), folder / "log.csv", dirt),
    )


def write_bytes(generator: np.random.Generator, content: bytes, file: Path, dirt: str) -> Path:
    """Write a file, perhaps cut short or with a few bytes changed."""
    if dirt == "cut short":
        content = content[: int(len(content) * generator.uniform(0.3, 0.95))]
    if dirt == "swapped bytes":
        changed = bytearray(content)
        for place in generator.integers(0, len(content), 4):
            changed[place] = int(generator.integers(256))
        content = bytes(changed)
    file.write_bytes(content)
    return file


def write_table(
    generator: np.random.Generator, rows: list[Row], folder: Path, dirt: str
) -> tuple[str, Path]:
    """Write Parquet, Arrow, NDJSON or a JSON array, in one file or several."""
    kind = str(generator.choice(["parquet", "feather", "ndjson", "json"]))
    unit = str(generator.choice(["s", "ms", "us", "iso", "datetime"]))
    header = HEADERS[int(generator.integers(len(HEADERS)))]
    table = pl.DataFrame(
        {
            header[0]: [user for user, _, _ in rows],
            header[1]: [item for _, item, _ in rows],
            header[2]: [at.replace(tzinfo=None) for _, _, at in rows],
        }
    )
    if unit != "datetime":
        texts = pl.Series(header[2], [TIME_FORMATS[unit](at) for _, _, at in rows])
        table = table.with_columns(texts if unit == "iso" else texts.cast(pl.Int64))
    if rows[0][0].isdecimal() and not rows[0][0].startswith("0") and generator.random() < 0.5:
        table = table.with_columns(pl.col(header[:2]).cast(pl.Int64))
    num_files = 1 if dirt != CLEAN else int(generator.integers(1, 13))
    target = folder / "parts"
    target.mkdir()
    size = -(-len(table) // num_files)
    for number in range(-(-len(table) // size)):
        part = table.slice(number * size, size)
        file = target / f"part-{number}.{kind}"
        if kind == "json":
            file.write_text(
                json.dumps([json.loads(line) for line in part.write_ndjson().splitlines()])
            )
        else:
            getattr(part, f"write_{'ipc' if kind == 'feather' else kind}")(file)
        write_bytes(generator, file.read_bytes(), file, dirt)
    return f"{kind}", target


def write_nested(
    generator: np.random.Generator, rows: list[Row], folder: Path, dirt: str
) -> tuple[str, Path]:
    """Write a row a user, with lists of items and times, or with a list of events."""
    kind = str(generator.choice(["lists", "events", "lists in text"]))
    users: dict[str, list[Row]] = {}
    for row in rows:
        users.setdefault(row[0], []).append(row)
    sessions = []
    for user, own in users.items():
        items, times = [row[1] for row in own], [int(row[2].timestamp()) for row in own]
        if kind == "events":
            events = [{"item_id": i, "ts": t} for i, t in zip(items, times, strict=True)]
            sessions.append({"user_id": user, "events": events})
        else:
            sessions.append({"user_id": user, "item_id": items, "timestamp": times})
    file = folder / ("log.csv" if kind == "lists in text" else "log.jsonl")
    if kind == "lists in text":
        texts = [
            {name: json.dumps(value) if name != "user_id" else value for name, value in row.items()}
            for row in sessions
        ]
        pl.DataFrame(texts).write_csv(file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in sessions), encoding="utf-8")
    write_bytes(generator, file.read_bytes(), file, dirt)
    return kind, file


def read_histories(source: Path) -> Histories:
    """Return each user's items in order, as ``prepare`` would write them."""
    log = read_source(source)
    found = prepare_interactions(log, Filters(), parse_split("leave-one-out"))
    users, items = found.user_ids.to_list(), found.item_ids.to_list()
    histories: Histories = {}
    for user, item in found.table.select("user", "item").iter_rows():
        histories.setdefault(users[user], []).append(items[item])
    return histories


def judge(generator: np.random.Generator, folder: Path) -> Verdict:
    """Write a log, read it, and compare the histories."""
    rows = draw_rows(generator)
    write = (write_text, write_text, write_table, write_nested)[int(generator.integers(4))]
    choices = {
        write_text: (*HARMLESS, *DOUBTFUL),
        write_table: ("cut short", "swapped bytes"),
        write_nested: ("cut short", "swapped bytes"),
    }[write]
    dirt = CLEAN if generator.random() < 0.5 else str(generator.choice(choices))
    form, source = write(generator, rows, folder, dirt)
    kind = dirt if dirt != CLEAN else f"clean: {form}"
    try:
        histories = read_histories(source)
    except SeqRecError as error:
        verdict = refuse(kind, error)
        if dirt == CLEAN or dirt in HARMLESS:
            return Verdict(kind, "wrong", f"{form}: refused: {error}")
        return verdict
    return compare(kind, form, rows, histories, dirt)


def compare(kind: str, form: str, rows: list[Row], histories: Histories, dirt: str) -> Verdict:
    """Return ``right`` for the right histories.

    Dirt that was read has a right answer as well: mixed units and dates in the order of time,
    changed bytes any that differ in a few events.
    """
    expected = sort_histories(rows)
    if dirt == "ambiguous dates":
        moved = [(user, item, at.replace(day=1 + at.day % 12)) for user, item, at in rows]
        expected = sort_histories(moved)
    if histories == expected:
        return Verdict(kind, "right")
    if dirt == "duplicates":
        events = sum(map(len, histories.values()))
        merged = {user: drop_neighbours(items) for user, items in histories.items()}
        same = merged == {user: drop_neighbours(items) for user, items in expected.items()}
        return Verdict(kind, "right" if same and events == len(rows) + 1 else "wrong", form)
    if dirt in ("swapped bytes", "cut short"):
        return Verdict(kind, "right", f"{form}: bytes changed, still a log")
    return Verdict(kind, "wrong", f"{form}: {expected} became {histories}")


def drop_neighbours(items: list[str]) -> list[str]:
    """Return a history without repetitions in a row."""
    return [item for item, before in zip(items, [None, *items], strict=False) if item != before]


if __name__ == "__main__":
    sys.exit(main(judge, num_cases=3000))
