"""States of training on disk: whole ones are used, all else is one line."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.training import state_files
from seqrec.training.state_files import read_newest_state, read_state, write_state

KEYS = ("weights", "step")


def state(step):
    return {"weights": torch.full((200,), float(step)), "step": step}


@pytest.fixture
def file(tmp_path):
    for step in (1, 2):
        write_state(state(step), tmp_path / "last.ckpt", keep_previous=True)
    return tmp_path / "last.ckpt"


def test_the_newest_state_and_the_one_before_are_kept(file):
    path, found = read_newest_state(file, KEYS)
    assert path == file and found["step"] == 2
    assert read_state(file.with_name("last.previous.ckpt"), KEYS)["step"] == 1
    assert sorted(os.listdir(file.parent)) == ["last.ckpt", "last.previous.ckpt"]


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bombed",)


def deflated(text):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", text)
    return content.getvalue()


def saved(value):
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


OTHERS = {
    "empty": b"",
    "noise": np.random.default_rng(0).bytes(4000),
    "a pickle": pickle.dumps(Bomb()),
    "a checkpoint that runs code": saved({"weights": Bomb(), "step": 1}),
    "zeros by the gigabyte": deflated(b"\0" * 10**7),
    "a list": saved([1, 2]),
    "other keys": saved({"weights": torch.ones(2)}),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_another_kind_is_one_line_and_the_state_before_is_used(
    file, kind, caplog, monkeypatch
):
    monkeypatch.chdir(file.parent)
    file.write_bytes(OTHERS[kind])
    with pytest.raises(SeqRecError, match=r"last\.ckpt: .*checkpoint") as raised:
        read_state(file, KEYS)
    assert "\n" not in str(raised.value)
    path, found = read_newest_state(file, KEYS)
    assert path.name == "last.previous.ckpt" and found["step"] == 1
    assert "continues from last.previous.ckpt" in caplog.text
    path.write_bytes(b"")
    with pytest.raises(SeqRecError, match="no whole checkpoint is left"):
        read_newest_state(file, KEYS)
    assert not (file.parent / "bombed").exists()


def test_no_flipped_byte_and_no_cut_changes_a_state(file):
    """A state is refused, or equal to the one written: names and padding hold nothing of it."""
    content, rng = file.read_bytes(), np.random.default_rng(1)
    refused = 0
    for place in rng.integers(len(content), size=300):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(flipped)
        try:
            found = read_state(file, KEYS)
        except SeqRecError:
            refused += 1
            continue
        assert found["step"] == 2 and torch.equal(found["weights"], state(2)["weights"])
    assert refused > 100
    for length in rng.integers(len(content), size=50):
        file.write_bytes(content[:length])
        with pytest.raises(SeqRecError):
            read_state(file, KEYS)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("place", ["open", "fsync", "replace"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_kill_at_any_write_leaves_a_whole_state(file, monkeypatch, place, call):
    owner = os if place == "fsync" else state_files.Path
    plain, calls = getattr(owner, place), []

    def kill(*arguments, **more):
        calls.append(place)
        if len(calls) == call:
            raise Killed
        return plain(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(owner, place, kill)
        try:
            write_state(state(3), file, keep_previous=True)
        except Killed:
            assert len(calls) == call
    assert read_newest_state(file, KEYS)[1]["step"] in (2, 3)


def test_a_full_disk_leaves_the_states_as_they_were(file, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_state(state(3), file, keep_previous=True)
    assert read_newest_state(file, KEYS)[1]["step"] == 2
    assert sorted(os.listdir(file.parent)) == ["last.ckpt", "last.previous.ckpt"]


def test_nothing_goes_through_the_folder_of_temporary_files(file, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(file.parent / "absent"))
    write_state(state(3), file, keep_previous=True)
    assert read_newest_state(file, KEYS)[1]["step"] == 3
