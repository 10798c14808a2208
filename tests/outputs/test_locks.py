"""Two writers of one output: the second is told who the first is."""

import fcntl
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from filelock import FileLock

import seqrec
from seqrec.config.load import load_recipe
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.outputs import lock_output, new_file, new_folder, reserve_output
from seqrec.runs.recipe import train_recipe

HOLD = """
import sys
from pathlib import Path
from seqrec.outputs import lock_output
with lock_output(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes ``out``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_writer_is_refused_until_the_first_has_ended_or_was_killed(tmp_path, holder):
    for write in (new_folder, new_file):
        with (
            pytest.raises(SeqRecError, match=rf"process {holder.pid} on \S+ is writing it"),
            write(tmp_path / "out", overwrite=True),
        ):
            pass
    holder.kill()
    holder.wait()
    with new_file(tmp_path / "out", overwrite=False) as file:
        file.write_text("x")
    assert os.listdir(tmp_path) == ["out"]


def test_a_name_of_a_process_that_runs_is_no_lock(tmp_path):
    (tmp_path / ".out.lock").write_text(f"process {os.getppid()} on here")
    with lock_output(tmp_path / "out"):
        pass
    assert os.listdir(tmp_path) == []


def test_who_opened_the_file_before_its_holder_unlinked_it_locks_the_next_one(
    tmp_path, monkeypatch
):
    file, plain = tmp_path / ".out.lock", fcntl.flock

    def unlink_first(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", plain)
        file.unlink()
        plain(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", unlink_first)
    with lock_output(tmp_path / "out"):
        assert file.exists() and fcntl.flock is plain
        with pytest.raises(SeqRecError, match="is writing it"), lock_output(tmp_path / "out"):
            pass
    assert os.listdir(tmp_path) == []


def test_the_file_of_the_next_writer_outlives_the_release_of_the_one_before(tmp_path, monkeypatch):
    out, plain = tmp_path / "out", FileLock.release
    with ExitStack() as next_writer:

        def lock_before(lock, *more, **options):
            monkeypatch.setattr(FileLock, "release", plain)
            next_writer.enter_context(lock_output(out))
            plain(lock, *more, **options)

        with lock_output(out):
            monkeypatch.setattr(FileLock, "release", lock_before)
        assert os.listdir(tmp_path) == [".out.lock"]
        with pytest.raises(SeqRecError, match="is writing it"), lock_output(out):
            pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}, {}])
def test_a_run_that_another_process_trains_is_left_alone(tmp_path, holder, how):
    log = tmp_path / "log.csv"
    log.write_text("user,item,time\n" + "".join(f"u{n % 5},i{n % 7},{n}\n" for n in range(60)))
    seqrec.prepare(log, out=tmp_path / "data")
    partial = tmp_path / "out.partial"
    if how.get("resume"):
        partial.mkdir()
    recipe = load_recipe("sft", ["model.hidden_size=16"])
    how = {"resume": False, "overwrite": False, **how}
    with pytest.raises(SeqRecError, match=f"process {holder.pid} "):
        train_recipe(recipe, PreparedData.open(tmp_path / "data"), tmp_path / "out", **how)
    assert partial.exists() == how["resume"] and not (tmp_path / "out").exists()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A prepared folder, and readers that fail: nothing is read before the lock is held."""
    rows = "".join(f"u{n % 5},i{n % 7},{n},{n % 5}\n" for n in range(60))
    (tmp_path / "log.csv").write_text("user,item,time,rating\n" + rows)
    (tmp_path / "new.csv").write_text("user,item,time,rating\nu1,i1,99,1\n")
    seqrec.prepare(tmp_path / "log.csv", out=tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("out", "write"),
    [
        ("a", lambda: seqrec.prepare("log.csv", out="a")),
        ("data", lambda: seqrec.prepare("new.csv", append=True, to="data")),
        ("a", lambda: seqrec.evaluate("popularity", data="data", out="a")),
        ("a.csv", lambda: seqrec.recommend("popularity", data="data", out="a.csv")),
        ("a.csv", lambda: seqrec.pairs(data="data", source="ratings", out="a.csv")),
        ("a", lambda: seqrec.export("no-such-model", to="numpy", out="a")),
    ],
    ids=["prepare", "append", "evaluate", "recommend", "pairs", "export"],
)
def test_a_verb_takes_its_lock_before_it_works(project, monkeypatch, out, write):
    def never(*_, **__):
        raise AssertionError("worked without the lock")

    for place in ("prepare.read_source", "append.read_source", "evaluate.evaluate_folder"):
        monkeypatch.setattr(f"seqrec.jobs.{place}", never)
    before = {path.name for path in project.iterdir()}
    with lock_output(project / out), pytest.raises(SeqRecError, match="is writing it"):
        write()
    assert {path.name for path in project.iterdir()} == before


def test_an_output_that_is_reserved_is_written_under_the_one_lock(tmp_path):
    out = tmp_path / "out"
    with reserve_output(out):
        for overwrite in (False, True):
            with new_folder(out, overwrite=overwrite) as folder:
                (folder / "manifest.json").write_text('{"catalog_fingerprint": "x"}')
        with pytest.raises(SeqRecError, match="is writing it"), lock_output(out):
            pass
    with lock_output(out), pytest.raises(SeqRecError, match="is writing it"), reserve_output(out):
        pass
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("source", ["data", "data/interactions.parquet"])
def test_a_folder_is_not_appended_to_itself(project, source):
    with pytest.raises(SeqRecError, match="this command"):
        seqrec.prepare(source, append=True, to="data")
