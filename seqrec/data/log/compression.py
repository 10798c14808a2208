"""Compressed files, recognised by their first bytes whatever their names say."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pyarrow as pa

from seqrec.errors import SeqRecError

SUFFIXES_OF_COMPRESSION = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".zip")
HEAD_BYTES = 16
_MAGIC = {
    "gzip": rb"\x1f\x8b",
    "zstd": rb"\x28\xb5\x2f\xfd",
    "bz2": rb"BZh[1-9]1AY&SY",
    "xz": rb"\xfd7zXZ\x00",
    "zip": rb"PK\x03\x04",
}
STREAMED = ("gzip", "zstd")
"""Compressions that polars undoes while it reads text."""
_LISTED_MEMBERS = 5
_ENCRYPTED = 1


def find_compression(path: Path) -> str | None:
    """Return the compression that a file's first bytes show, or None."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return next((name for name, magic in _MAGIC.items() if re.match(magic, head)), None)


def open_bytes(path: Path, name: str | None = None) -> IO[bytes]:
    """Open a file for its bytes, decompressed.

    Args:
        path: the file.
        name: the file's name in messages; the path if None.

    Raises:
        SeqRecError: a zip archive without or with several members, or with a password.
    """
    compression = find_compression(path)
    if compression is None:
        return path.open("rb")
    if compression == "zip":
        return _open_member(path, name or str(path))
    return _OPENERS[compression](path)


def list_members(path: Path) -> list[str]:
    """Return the files of a zip archive, without those that macOS adds."""
    with zipfile.ZipFile(path) as archive:
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    return [name for name in names if not re.search(r"(^|/)(__MACOSX/|\._|\.DS_Store$)", name)]


def _open_member(path: Path, name: str) -> IO[bytes]:
    members = list_members(path)
    if len(members) != 1:
        listed = ", ".join(members[:_LISTED_MEMBERS]) or "none"
        more = ", ..." if len(members) > _LISTED_MEMBERS else ""
        raise SeqRecError(
            f"{name}: a zip archive must hold one file, it has {listed}{more}; unpack it and name "
            "the log"
        )
    archive = zipfile.ZipFile(path)
    if archive.getinfo(members[0]).flag_bits & _ENCRYPTED:
        raise SeqRecError(f"{name}: {members[0]} has a password; unpack it first")
    return archive.open(members[0])


def _open_zstd(path: Path) -> IO[bytes]:
    stream = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    return io.BufferedReader(stream)


_OPENERS: dict[str, Callable[[Path], IO[bytes]]] = {
    "gzip": lambda path: gzip.open(path, "rb"),  # type: ignore[dict-item, return-value]
    "bz2": lambda path: bz2.open(path, "rb"),
    "xz": lambda path: lzma.open(path, "rb"),
    "zstd": _open_zstd,
}
