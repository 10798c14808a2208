"""Files in a form that the parsers read: decompressed, in UTF-8, with line feeds."""

import codecs
import io
import json
import shutil

from seqrec.data.log.compression import STREAMED, find_compression, list_members, open_bytes
from seqrec.data.log.signatures import (
    find_archive_format,
    find_binary_format,
    find_foreign_format,
)
from seqrec.data.log.source_files import SourceFile
from seqrec.data.log.text import SAMPLE_BYTES, find_encoding, has_old_line_ends
from seqrec.data.read_errors import one_line_errors
from seqrec.errors import SeqRecError

MOST_LAYERS = 3
"""Compressions of one file, one around the other."""
CHUNK_BYTES = 1 << 22


def make_readable(file: SourceFile) -> SourceFile:
    """Return the file, or a temporary copy of it that the parsers read.

    Compressed text that polars decompresses itself, and all plain files, are read where they are.

    Raises:
        SeqRecError: a missing, broken or foreign file; the message names its format.
    """
    with one_line_errors(file.name):
        for _ in range(MOST_LAYERS):
            compression = find_compression(file.path)
            if compression is None:
                break
            if compression == "zip":
                _refuse(file, find_archive_format(list_members(file.path)))
            if compression in STREAMED and _is_plain_text(_sample(file)):
                return file
            file = _decompress(file)
        sample = _sample(file)
        if find_binary_format(sample):
            return file
        _refuse(file, find_foreign_format(sample))
        encoding = find_encoding(sample)
        if encoding is None and b"\0" in sample:
            _refuse(file, "binary data of no format that holds a log")
        if encoding is not None or has_old_line_ends(sample):
            return _transcode(file, encoding or "utf-8-sig")
    return file


def remove_mark(file: SourceFile) -> SourceFile:
    """Return the file, or a copy of it without the byte order mark of UTF-8 that it begins with."""
    with one_line_errors(file.name):
        has_mark = _sample(file).startswith(codecs.BOM_UTF8)
        return _transcode(file, "utf-8-sig") if has_mark else file


def split_array(file: SourceFile) -> SourceFile:
    """Return a copy of a JSON array with an entry a line, numbers spelled as they were.

    Raises:
        SeqRecError: the text is no array of objects.
    """
    with one_line_errors(file.name):
        with open_bytes(file.path, file.name) as source:
            text = source.read().decode("utf-8-sig")
        decoder = json.JSONDecoder()
        copy = file.replace_bytes(is_json_array=True)
        position = _skip(text, text.index("[") + 1)
        number = 1
        with copy.path.open("w", encoding="utf-8", newline="\n") as lines:
            while text[position : position + 1] not in ("]", ""):
                try:
                    entry, end = decoder.raw_decode(text, position)
                except (ValueError, RecursionError) as error:
                    raise SeqRecError(f"{file}: entry {number}: no JSON: {error}") from error
                if not isinstance(entry, dict):
                    raise SeqRecError(
                        f"{file}: entry {number}: not a JSON object: {text[position:end][:60]!r}"
                    )
                lines.write(" ".join(text[position:end].splitlines()) + "\n")
                position = _skip(text, end)
                if text[position : position + 1] == ",":
                    position = _skip(text, position + 1)
                elif text[position : position + 1] != "]":
                    raise SeqRecError(f"{file}: entry {number}: no comma follows it")
                number += 1
        if position >= len(text) or text[position + 1 :].strip():
            raise SeqRecError(f"{file}: the JSON array does not end with the file")
    return copy


def _skip(text: str, position: int) -> int:
    """Return the position of the next character that is not blank."""
    while text[position : position + 1] in (" ", "\t", "\n", "\r") and position < len(text):
        position += 1
    return position


def _is_plain_text(sample: bytes) -> bool:
    return not (
        find_binary_format(sample)
        or find_foreign_format(sample)
        or find_encoding(sample)
        or b"\0" in sample
        or has_old_line_ends(sample)
    )


def _sample(file: SourceFile) -> bytes:
    with open_bytes(file.path, file.name) as content:
        return content.read(SAMPLE_BYTES)


def _decompress(file: SourceFile) -> SourceFile:
    copy = file.replace_bytes()
    with open_bytes(file.path, file.name) as source, copy.path.open("wb") as target:
        shutil.copyfileobj(source, target, CHUNK_BYTES)
    return copy


def _transcode(file: SourceFile, encoding: str) -> SourceFile:
    """Return a copy in UTF-8 whose lines end with line feeds."""
    copy = file.replace_bytes()
    with (
        open_bytes(file.path, file.name) as source,
        io.TextIOWrapper(source, encoding=encoding, newline=None) as text,
        copy.path.open("w", encoding="utf-8", newline="\n") as target,
    ):
        shutil.copyfileobj(text, target, CHUNK_BYTES)
    return copy


def _refuse(file: SourceFile, found: str | None) -> None:
    if found is not None:
        raise SeqRecError(f"{file}: is {found}; write the log as CSV, Parquet or NDJSON")
