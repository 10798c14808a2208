"""Files of a source: a file, a folder of parts, hive partitions, a pattern, or a list of these."""

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from seqrec.data.log.formats import SUFFIXES, format_suffix
from seqrec.data.log.remote import fetch_files, is_remote
from seqrec.data.log.source_files import SourceFile, local_file
from seqrec.data.read_errors import one_line_errors
from seqrec.errors import SeqRecError
from seqrec.files import check_regular

FOLDER_LOGS = ("u.data", "ratings.dat", "ratings.csv", "ratings.csv.gz", "ratings.parquet")
"""Files that are a folder's log, whatever else the folder holds."""
TABLE_FOLDERS = {"_delta_log": "Delta", ".hoodie": "Hudi"}
"""Folders beside the files of tables whose files do not all count."""
NO_LOGS = ("readme", "license", "licence", "changelog")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_PARTITION = re.compile(r"([^=/]+)=([^/]*)")
_PART = re.compile(r"part-[\w-]*\d[\w.-]*")
"""Names of the files that Hadoop and Spark write, with any suffix or none."""


def find_parts(source: str | Path | Sequence[str | Path]) -> list[SourceFile]:
    """Return the files of a source in the order of their rows.

    A folder's files are in the order of their names, numbers by value.

    Args:
        source: a file, a folder, a pattern (``*``, ``?``, ``[]``, ``**``), a URL, or several.

    Raises:
        SeqRecError: nothing of this name, or a folder without a log or with several kinds of files.
    """
    if isinstance(source, str | Path):
        return _find(source)
    files = [file for one in source for file in _find(one)]
    if not files:
        raise SeqRecError("the list of files is empty; name one at least")
    paths = [file.original for file in files]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise SeqRecError(f"{twice}: occurs twice among the files of the log; name it once")
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    if any(file.keys for file in files) or any(is_remote(file.name) for file in files):
        return files
    return [_partition(path, root, path.absolute()) for path in paths]


def _find(source: str | Path) -> list[SourceFile]:
    text = str(source)
    if is_remote(text):
        return fetch_files(text)
    path = Path(source)
    with one_line_errors(text):
        try:
            exists = path.exists()
        except ValueError as error:
            raise SeqRecError(f"{text!r}: {error}; name a file or folder") from error
        except OSError as error:
            raise SeqRecError(f"{path}: {error.strerror}; name a file or folder") from error
        if not exists and glob.has_magic(text):
            return _match(text)
        if not exists:
            raise SeqRecError(f"{path}: no such file or folder")
        if path.is_dir():
            return _list_folder(path)
        check_regular(path, "name a file or folder")
        return [local_file(path)]


def _match(pattern: str) -> list[SourceFile]:
    root = Path(pattern)
    while glob.has_magic(str(root)):
        root = root.parent
    paths = [Path(name) for name in glob.glob(pattern, recursive=True)]
    files = sorted((path for path in paths if path.is_file()), key=_natural_order)
    folders = sorted((path for path in paths if path.is_dir()), key=_natural_order)
    if not files and folders and "**" not in pattern:
        files = [file for folder in folders for file in _list_parts(folder)]
    if not files:
        raise SeqRecError(f"{pattern}: no file has a name of this pattern")
    return [_partition(path, root, path) for path in files]


def _list_folder(folder: Path) -> list[SourceFile]:
    for name, kind in TABLE_FOLDERS.items():
        if (folder / name).exists():
            raise SeqRecError(
                f"{folder}: is a {kind} table, some of whose files no longer count; export it to "
                "Parquet"
            )
    for name in FOLDER_LOGS:
        if (folder / name).is_file():
            return [local_file(folder / name)]
    paths = sorted(folder.glob("*.inter")) or _list_parts(folder)
    if not paths:
        inside = sorted(path.name for path in folder.iterdir() if path.is_dir())
        hint = f"; name a pattern such as '{folder}/**/*.csv'" if inside else "; name the file"
        raise SeqRecError(f"{folder}: the folder must hold a log, it has none{hint}")
    suffixes = {format_suffix(path): path for path in reversed(paths)}
    if len(suffixes) > 1:
        first, other = sorted(suffixes.values(), key=_natural_order)[:2]
        raise SeqRecError(
            f"{folder}: {first.name} and {other.name} are files of different kinds; name the log, "
            f"or a pattern such as '{folder}/*{format_suffix(first)}'"
        )
    return [_partition(path, folder, path) for path in paths]


def _list_parts(folder: Path) -> list[Path]:
    """Return the files of a folder that may be a log, those of its partitions included."""
    files: list[Path] = []
    for path in sorted(folder.iterdir(), key=_natural_order):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir():
            files += _list_parts(path) if _PARTITION.fullmatch(path.name) else []
        elif not path.name.lower().startswith(NO_LOGS) and (
            format_suffix(path) in SUFFIXES or _PART.fullmatch(path.name)
        ):
            files.append(path)
    return files


def _partition(path: Path, root: Path, full: Path) -> SourceFile:
    """Return a file with the values of the hive partitions between a folder and the file."""
    inside = full.relative_to(root)
    matches = (_PARTITION.fullmatch(part) for part in inside.parts[:-1])
    pairs = [(match[1], unquote(match[2])) for match in matches if match]
    keys = {key: None if value == _HIVE_NULL else value for key, value in pairs}
    file = local_file(path, label=inside.as_posix())
    return SourceFile(file.name, file.original, file.path, file.label, keys)


def _natural_order(path: Path) -> list[tuple[int, str]]:
    """Return a sort key of a path under which ``part-2`` comes before ``part-10``."""
    parts: Iterable[str] = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
