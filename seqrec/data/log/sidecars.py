"""Sidecar files beside a log, with attributes of its items and users: MovieLens and RecBole."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from seqrec.data.log.column_names import simplify_name
from seqrec.data.log.text import read_text
from seqrec.data.read_errors import one_line_errors
from seqrec.errors import SeqRecError

GENRE_FLAGS = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
).split("|")
"""The last columns of ``u.item``, one a genre, 1 if the item has it."""
NO_GENRES = "(no genres listed)"
YEAR_AT_END = r"\((\d{4})\)\s*$"
TITLE_NAMES = ("title", "movietitle", "itemtitle", "name", "itemname")
GENRE_NAMES = ("genres", "genre", "categories", "category")
"""Common names of the two columns; letters only, in lower case."""
USER_FIELDS = ["user_id", "gender", "age", "occupation", "zip_code"]


@dataclass(frozen=True)
class Sidecars:
    """The attributes of items (``item_id``, ``title``, ...) and users (``user_id``, ...)."""

    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    paths: tuple[Path, ...] = ()


def read_sidecars(log: Path) -> Sidecars:
    """Return the sidecars that belong to a log of this name; missing ones are skipped.

    Raises:
        SeqRecError: a sidecar cannot be read.
    """
    name = log.stem if log.suffix.lower() == ".gz" else log.name
    if name == "u.data":
        return _gather(log.parent / "u.item", _read_u_item, log.parent / "u.user", _read_u_user)
    if name.startswith("ratings.") and _is_movielens_file(log.parent / "movies.csv"):
        return _gather(log.parent / "movies.csv", _read_movies_csv)
    if name.startswith("ratings."):
        folder = log.parent
        return _gather(folder / "movies.dat", _read_movies, folder / "users.dat", _read_users)
    if name.endswith(".inter"):
        stem = log.with_name(name).with_suffix("")
        items, users = stem.with_suffix(".item"), stem.with_suffix(".user")
        return _gather(items, read_atomic_items, users, _read_atomic_users)
    return Sidecars()


Read = Callable[[Path], pl.DataFrame]


def _gather(
    items: Path, read_items: Read, users: Path | None = None, read_users: Read | None = None
) -> Sidecars:
    has_items = items.exists()
    has_users = users is not None and users.exists()
    return Sidecars(
        items=_read(items, read_items) if has_items else None,
        users=_read(users, read_users) if has_users and users and read_users else None,
        paths=tuple(
            path for path, exists in ((items, has_items), (users, has_users)) if path and exists
        ),
    )


def _read(path: Path, read: Read) -> pl.DataFrame:
    with one_line_errors(str(path)):
        return read(path)


def _read_u_item(path: Path) -> pl.DataFrame:
    head = ["item_id", "title", "release_date", "video_release_date", "url"]
    table = _table(path, "|", [*head, *GENRE_FLAGS])
    flags = [
        pl.when(pl.col(genre).str.strip_chars() == "1").then(pl.lit(genre)) for genre in GENRE_FLAGS
    ]
    return _with_year(table.select(*head[:3], genres=pl.concat_list(flags).list.drop_nulls()))


def _read_u_user(path: Path) -> pl.DataFrame:
    return _table(path, "|", ["user_id", "age", "gender", "occupation", "zip_code"])


def _read_movies(path: Path) -> pl.DataFrame:
    return _with_year(_with_genres(_table(path, "::", ["item_id", "title", "genres"])))


def _read_users(path: Path) -> pl.DataFrame:
    return _table(path, "::", USER_FIELDS)


def _read_movies_csv(path: Path) -> pl.DataFrame:
    names, *rows = csv.reader(io.StringIO(read_text(path)))
    position = {simplify_name(name): position for position, name in enumerate(names)}
    read = [position[name] for name in ("movieid", "title", "genres") if name in position]
    picked = [[row[p] if p < len(row) else "" for p in read] for row in rows if row]
    table = _frame(path, picked, ["item_id", "title", "genres"][: len(read)], first_line=2)
    return _with_year(_with_genres(table) if "genres" in table.columns else table)


def _is_movielens_file(path: Path) -> bool:
    """Return True if a ``movies.csv`` has MovieLens' columns; any other file is ignored."""
    if not path.is_file():
        return False
    with one_line_errors(str(path)):
        names = next(csv.reader(io.StringIO(read_text(path))), [])
    return {"movieid", "title"} <= {simplify_name(name) for name in names}


def read_atomic_items(path: Path) -> pl.DataFrame:
    """Return the items of a RecBole file; its columns of titles and genres get these names."""
    table = _atomic(path)
    plain_names = {simplify_name(name): name for name in reversed(table.columns)}
    renamed = {table.columns[0]: "item_id"}
    for name, usual in (("title", TITLE_NAMES), ("genres", (*GENRE_NAMES, "class"))):
        column = next((plain_names[guess] for guess in usual if guess in plain_names), None)
        if column is not None and name not in table.columns:
            renamed[column] = name
    table = table.rename(renamed)
    if "title" in table.columns and table["title"].dtype == pl.List(pl.String):
        table = table.with_columns(pl.col("title").list.join(" "))
    return with_genre_lists(table)


def _read_atomic_users(path: Path) -> pl.DataFrame:
    table = _atomic(path)
    return table.rename({table.columns[0]: "user_id"})


def _lines(path: Path) -> list[str]:
    """Return the lines as editors count them; other Unicode separators end no line."""
    return [line.rstrip("\r") for line in read_text(path).removesuffix("\n").split("\n")]


def _atomic(path: Path) -> pl.DataFrame:
    """Read a RecBole file: tabs, a header of ``name:type``; ``token_seq`` is a list of words."""
    lines = _lines(path)
    if not lines[0]:
        raise SeqRecError(f"{path}: is empty; its first line names the fields")
    names, types = [], []
    for field in lines[0].split("\t"):
        name, _, type_ = field.partition(":")
        names.append(name)
        types.append(type_)
    table = _frame(path, [line.split("\t") for line in lines[1:] if line], names, first_line=2)
    casts = []
    for name, type_ in zip(names[1:], types[1:], strict=True):
        if type_ == "float":
            casts.append(pl.col(name).cast(pl.Float64, strict=False))
        elif type_ == "token_seq":
            casts.append(pl.col(name).str.extract_all(r"\S+").fill_null([]))
    return table.with_columns(casts)


def with_genre_lists(table: pl.DataFrame) -> pl.DataFrame:
    """Return the items with genres as lists; texts are split at ``|``."""
    if "genres" in table.columns and table["genres"].dtype == pl.String:
        return _with_genres(table)
    return table


def _with_genres(table: pl.DataFrame) -> pl.DataFrame:
    is_genre = ~pl.element().is_in(["", NO_GENRES])
    listed = pl.col("genres").fill_null("").str.split("|").list.eval(pl.element().filter(is_genre))
    return table.with_columns(listed)


def _with_year(table: pl.DataFrame) -> pl.DataFrame:
    year = pl.col("title").str.extract(YEAR_AT_END).cast(pl.Int32)
    return table.with_columns(year=year)


def _table(path: Path, delimiter: str, names: Sequence[str]) -> pl.DataFrame:
    rows = [line.split(delimiter) for line in read_text(path).split("\n") if line]
    return _frame(path, rows, names, first_line=1)


def _frame(
    path: Path, rows: Sequence[Sequence[str]], names: Sequence[str], first_line: int
) -> pl.DataFrame:
    """Return rows as text columns; empty fields are null, the first row of each id counts."""
    for number, row in enumerate(rows, start=first_line):
        if len(row) != len(names):
            raise SeqRecError(f"{path}: line {number}: {len(row)} fields instead of {len(names)}")
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    table = pl.DataFrame(
        {
            name: pl.Series(list(column), dtype=pl.String)
            for name, column in zip(names, columns, strict=True)
        }
    )
    text = pl.col(pl.String)
    table = table.with_columns(pl.when(text != "").then(text).name.keep())
    return table.unique(names[0], keep="first", maintain_order=True)
