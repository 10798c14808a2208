"""Outputs that are written part by part and resumed after an interruption."""

import json
import shutil
from pathlib import Path
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.runs.folder import refuse_foreign


def get_parts_folder(out: Path) -> Path:
    """The folder that holds the parts of ``out`` until all are written."""
    return out.with_name(f"{out.name}.partial")


def has_header(parts: Path, header_file: str, header: dict[str, Any]) -> bool:
    """Test whether the pending parts carry this header."""
    try:
        return bool(json.loads((parts / header_file).read_text(encoding="utf-8")) == header)
    except (OSError, ValueError):
        return False


def begin_parts(parts: Path, header_file: str, header: dict[str, Any], *, overwrite: bool) -> None:
    """Create the folder and write the header of its parts.

    With ``overwrite``, parts with another header are deleted.

    Raises:
        SeqRecError: parts with another header and no ``overwrite``; a folder without parts.
    """
    aside = parts / f"{header_file}.partial"
    is_there = parts.exists() and any(file != aside for file in parts.iterdir())
    if is_there and not (parts / header_file).is_file():
        raise SeqRecError(f"{parts}: is in the way and holds no parts; move it")
    if not has_header(parts, header_file, header):
        if any(parts.glob("*.parquet")) and not overwrite:
            raise SeqRecError(
                f"{parts}: was begun with other models, data or settings; use the same, or add "
                "--overwrite to start again"
            )
        if parts.exists():
            refuse_foreign(parts)
        shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True, exist_ok=True)
    aside.write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")
    aside.replace(parts / header_file)


def free_bytes(path: Path) -> int:
    """Free bytes on the disk of a path, which need not exist."""
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free
