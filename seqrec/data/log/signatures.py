"""File formats by the bytes that they begin with."""

import re

FORMATS_BY_MAGIC = {"parquet": rb"PAR1", "arrow": rb"ARROW1|\xff\xff\xff\xff..[\x00-\x0f]\x00"}
"""Binary formats that a log may have."""

FOREIGN_FORMATS = {
    "a pickle": rb"\x80[\x02-\x05]",
    "an Excel workbook": rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "an SQLite database": rb"SQLite format 3\x00",
    "a DuckDB database": rb".{8}DUCK",
    "an HDF5 file": rb"\x89HDF\r\n\x1a\n",
    "an ORC file": rb"ORC",
    "an Avro file": rb"Obj\x01",
    "a NumPy array": rb"\x93NUMPY",
    "a Feather file of version 1": rb"FEA1",
    "an encrypted Parquet file": rb"PARE",
    "an R data file": rb"RD[AX][23]\n",
    "a 7z archive": rb"7z\xbc\xaf\x27\x1c",
    "a RAR archive": rb"Rar!\x1a",
    "a tar archive": rb".{257}ustar",
    "a PDF file": rb"%PDF-",
    "an image": rb"\x89PNG|\xff\xd8\xff|GIF8",
    "an HTML page": rb"(?i)\s*<(!doctype html|html)",
    "an XML file": rb"\s*<\?xml",
    "a Git LFS pointer, not the file itself": rb"version https://git-lfs",
}
"""Formats that are no log, with the words that name them."""

_ARCHIVES = {
    "an Excel workbook": r"(^|/)xl/",
    "an OpenDocument file": r"^mimetype$",
    "a file of NumPy arrays": r"\.npy$",
    "a PyTorch file": r"(^|/)data\.pkl$",
}
"""Zip archives that are documents, by one of their members."""


def find_binary_format(head: bytes) -> str | None:
    """Return the binary format of a log, or None for text and for other formats."""
    return _find(FORMATS_BY_MAGIC, head)


def find_foreign_format(head: bytes) -> str | None:
    """Return words for a format that holds no log, or None."""
    return _find(FOREIGN_FORMATS, head)


def find_archive_format(members: list[str]) -> str | None:
    """Return words for the document that a zip archive with these members is, or None."""
    for name, pattern in _ARCHIVES.items():
        if any(re.search(pattern, member) for member in members):
            return name
    return None


def _find(table: dict[str, bytes], head: bytes) -> str | None:
    return next((name for name, magic in table.items() if re.match(magic, head, re.DOTALL)), None)
