"""Output folders are the old one or the new one, never a mixture."""

import resource
import signal
import subprocess
import sys
import time

import pytest

import seqrec
from seqrec.config.load import load_recipe
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.outputs import new_file, new_folder, replacing, settle_output
from seqrec.runs.recipe import train_recipe

OWN = '{"catalog_fingerprint": "of an older folder"}'
"""A manifest that marks a folder as one that seqrec wrote."""


def contents(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_a_new_folder_appears_only_when_it_is_whole(tmp_path):
    out = tmp_path / "deep" / "out"
    with new_folder(out, overwrite=False) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    assert contents(out) == {"a": b"1"}
    assert [file.name for file in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_overwriting_replaces_everything_or_nothing(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(replacing, "_exchange", lambda one, other: False)
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text(OWN)
    with pytest.raises(SeqRecError, match="add --overwrite"), new_folder(out, overwrite=False):
        pass
    with pytest.raises(RuntimeError), new_folder(out, overwrite=True) as folder:
        (folder / "new").write_text("new")
        raise RuntimeError
    assert contents(out) == {"manifest.json": OWN.encode()}
    with new_folder(out, overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert contents(out) == {"new": b"new"}
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("killed_in", ["_exchange", "shutil.rmtree"])
def test_after_a_kill_within_a_replacement_only_what_is_new_is_gone_on_with(
    tmp_path, monkeypatch, killed_in
):
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    for folder in (out, partial):
        folder.mkdir()
        (folder / "name").write_text(folder.name)

    def kill(*_, **__):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(f"seqrec.outputs.replacing.{killed_in}", kill)
        with pytest.raises(SystemExit):
            replacing.swap_in(partial, out)
    is_replaced = killed_in == "shutil.rmtree"
    assert (out / "name").read_text() == ("out.partial" if is_replaced else "out")
    settle_output(out)
    assert (
        sorted(path.name for path in tmp_path.iterdir())
        == ["out", "out.partial"][: 2 - is_replaced]
    )
    if not is_replaced:
        replacing.swap_in(partial, out)
    assert contents(out) == {"name": b"out.partial"}


def test_a_file_is_replaced_in_one_step(tmp_path):
    out = tmp_path / "lists.parquet"
    out.write_text("old")
    with pytest.raises(SeqRecError, match="add --overwrite"), new_file(out, overwrite=False):
        pass
    with pytest.raises(RuntimeError), new_file(out, overwrite=True) as file:
        file.write_text("half")
        raise RuntimeError
    assert out.read_text() == "old"
    with new_file(out, overwrite=True) as file:
        file.write_text("new")
    assert out.read_text() == "new" and list(tmp_path.iterdir()) == [out]


def test_what_a_killed_run_left_is_cleared_and_a_live_ones_is_not(tmp_path):
    out = tmp_path / "out"
    left = tmp_path / ".out.partial-1"  # the number of a process that always runs
    model = tmp_path / ".out.partial-1.new"  # of a model folder, beside it
    for path in (left, model):
        path.mkdir()
    with new_folder(out, overwrite=False) as folder:
        assert not left.exists() and not model.exists()
        with pytest.raises(SeqRecError, match="is writing it"), new_folder(out, overwrite=True):
            pass
        (folder / "a").write_text("1")
    assert contents(tmp_path) == {"out/a": b"1"}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    file = tmp_path_factory.mktemp("log") / "log.csv"
    first_order_world(num_items=100, seed=1).simulate(3000, 20, seed=2).write_csv(file)
    return file


def test_prepare_killed_at_any_moment_leaves_the_old_folder_or_the_new(log, tmp_path):
    out = tmp_path / "out"
    seqrec.prepare(log, out=out, min_item=3)
    old = contents(out)
    seqrec.prepare(log, out=tmp_path / "reference")
    new = contents(tmp_path / "reference")
    command = [sys.executable, "-m", "seqrec", "prepare", str(log), "--out", str(out)]
    for delay in (0.3, 0.6, 0.8, 1.0, 1.2, 1.6):
        process = subprocess.Popen(
            [*command, "--overwrite"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert contents(out) in (old, new)
    subprocess.run([*command, "--overwrite"], check=True, capture_output=True)
    assert contents(out) == new
    assert {file.name for file in tmp_path.iterdir()} == {"out", "reference"}


def run_with_little_disk(arguments, num_bytes):
    """A verb of which no file may grow beyond ``num_bytes``, as on a full disk."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

    command = [sys.executable, "-m", "seqrec", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)


def test_a_full_disk_is_one_line_and_leaves_nothing(log, tmp_path):
    done = run_with_little_disk(["prepare", log, "--out", tmp_path / "out"], 20_000)
    assert done.returncode == 2 and "cannot be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_exchanges_nothing_gets_two_renames(tmp_path, monkeypatch):
    class Refusing:
        def renameat2(self, *_):
            return -1

    monkeypatch.setattr(replacing.ctypes, "CDLL", lambda *_: Refusing())
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text(OWN)
    with new_folder(out, overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert contents(out) == {"new": b"new"}
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_data_that_go_while_training_reads_them_are_named(log, tmp_path):
    data = tmp_path / "data"
    seqrec.prepare(log, out=data)

    def lose(*_):
        (data / "interactions.parquet").unlink(missing_ok=True)
        return False

    recipe = load_recipe("sft", ["data.max_length=10", "trainer.max_epochs=2"])
    with pytest.raises(SeqRecError, match="data: was replaced while it was read; start"):
        train_recipe(
            recipe,
            PreparedData.open(data),
            tmp_path / "run",
            resume=False,
            overwrite=False,
            should_stop=lose,
        )
