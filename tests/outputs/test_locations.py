"""Where an output is written: where its name says, or nowhere."""

import os
import tempfile
from pathlib import Path

import pytest

import seqrec
from seqrec.errors import SeqRecError
from seqrec.outputs import locate_output, new_folder


def write(out):
    with new_folder(locate_output(out), overwrite=True) as folder:
        (folder / "manifest.json").write_text('{"catalog_fingerprint": "x"}')


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate_output("~/run") == tmp_path / "run"
    with pytest.raises(SeqRecError, match="no such home folder"):
        locate_output("~nobody-of-this-name/run")


@pytest.mark.parametrize("name", ["lr::0.1", "simplecache::x", "s3://bucket/run", "s3:/run"])
def test_a_name_that_is_read_as_a_url_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SeqRecError, match="is read as a URL"):
        locate_output(name)
    with pytest.raises(SeqRecError, match="is read as a URL"):
        seqrec.train("sft", data="data", out=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [".", "..", "/", "", "a/..", "/dev", "/dev/null", b"\xff"])
def test_a_place_that_cannot_be_filled_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SeqRecError, match="^--out"):
        locate_output(os.fsdecode(name))


def test_a_parent_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SeqRecError, match="file is not a folder"):
        locate_output(tmp_path / "file" / "deep" / "run")


def test_a_link_keeps_its_target_whatever_the_target_is(tmp_path):
    (tmp_path / "big").mkdir()
    for name, target in (("link", "big/run"), ("broken", "nowhere/run"), ("full", "big/run")):
        (tmp_path / name).symlink_to(target)
        for _ in range(2):
            write(tmp_path / name)
        assert os.readlink(tmp_path / name) == target
        assert (tmp_path / target / "manifest.json").is_file()
    names = {"big", "nowhere", "link", "broken", "full"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_link_to_another_disk_keeps_its_target(tmp_path):
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):  # a system without a second disk: a folder stands in
        memory = tmp_path
    with tempfile.TemporaryDirectory(dir=memory) as other:
        (tmp_path / "link").symlink_to(Path(other) / "run")
        write(tmp_path / "link")
        write(tmp_path / "link")
        assert (Path(other) / "run" / "manifest.json").is_file()
        assert (tmp_path / "link").is_symlink() and os.listdir(other) == ["run"]


def test_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(SeqRecError, match="leads to itself"):
        locate_output(tmp_path / "a")
