"""Remote files, through fsspec: ``s3://``, ``gs://``, ``https://``, ``memory://``, ..."""

import posixpath
import re

from seqrec.data.log.source_files import SourceFile, TemporaryFolder
from seqrec.errors import SeqRecError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[^/]*)?(://|::)")
_FILE_SUFFIX = re.compile(r"\.\w+$")
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
EXTRAS |= {"abfs": "abfs", "abfss": "abfs", "az": "abfs", "adl": "adl", "hf": "hf"}
"""Extras of fsspec that a protocol needs."""


def is_remote(text: str) -> bool:
    """Return True if a source is a URL, not a path."""
    return _URL.match(text) is not None


def fetch_files(url: str) -> list[SourceFile]:
    """Return temporary copies of a remote file, of a folder's files, or of a pattern's.

    Raises:
        SeqRecError: fsspec or its part for the protocol is missing, or the files cannot be read.
    """
    protocol = url.split("::")[-1].split("://")[0] if "://" in url else url.split("::")[0]
    try:
        import fsspec
    except ImportError as error:
        raise SeqRecError(f"{url}: needs fsspec; pip install fsspec") from error
    try:
        system, path = fsspec.core.url_to_fs(url)
        is_pattern = "*" in path or "?" in path
        names = system.glob(path) if is_pattern else [path]
        if not is_pattern and protocol not in ("http", "https") and system.isdir(path):
            names = [name for name in system.find(path) if _is_part(name, path)]
        folder = TemporaryFolder()
        files = []
        for number, name in enumerate(sorted(names)):
            copy = folder.path / str(number)
            system.get_file(name, str(copy))
            shown = url if names == [path] else system.unstrip_protocol(name)
            files.append(SourceFile(shown, copy, copy, shown, temporary=(folder,)))
    except SeqRecError:
        raise
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        fix = f"pip install 'fsspec[{extra}]'" if extra else str(error).splitlines()[0]
        raise SeqRecError(f"{url}: protocol {protocol} needs another package; {fix}") from error
    except FileNotFoundError as error:
        raise SeqRecError(f"{url}: no such file or folder") from error
    # Each file system of fsspec raises the errors of its own client library.
    except Exception as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SeqRecError(f"{url}: cannot be read: {cause}") from error
    if not files:
        raise SeqRecError(f"{url}: no file has this name")
    return files


def _is_part(name: str, folder: str) -> bool:
    """Return False for files such as ``_SUCCESS``, which are no part of a log."""
    inside = posixpath.relpath(name, folder)
    return not any(part.startswith((".", "_")) for part in inside.split("/"))
