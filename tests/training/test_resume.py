"""A run that is cut off within an epoch goes on and ends as if it had not been."""

import functools
import json
import shutil
import signal

import polars as pl
import pytest
import yaml

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.training.checkpoints import EpochCheckpoint
from seqrec.training.epoch_log import EpochLog

SETTINGS = [
    "data.max_length=20",
    "data.batch_size=4",
    "model.hidden_size=32",
    "trainer.max_epochs=3",
]
EVERY_STEP = "trainer.checkpoint_minutes=1e-9"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "prepared"
    log = first_order_world(num_items=40, seed=0).simulate(200, 15, seed=1)
    log = log.with_columns(rating=1 + pl.int_range(pl.len()) % 5)
    seqrec.prepare(log, out=folder)
    return folder


@pytest.fixture(scope="module")
def whole_run(data, tmp_path_factory):
    """A run that nothing cuts off nor checkpoints within its epochs, trained once for settings."""

    @functools.cache
    def train(*more):
        out = tmp_path_factory.mktemp("whole") / "run"
        seqrec.train("sft", data=data, out=out, overrides=[*SETTINGS, *more])
        return out

    return train


def weights(run):
    return (run / "model" / "model.safetensors").read_bytes()


def losses(run):
    lines = (run / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["train/loss_nats"] for line in lines]


SAMPLED = "objective.loss={name: sampled_softmax, num_negatives: 16}"
LATE = "trainer.epochs_without_dropout=1"
EVENTS = "data.events.features=[{name: rating, column: rating, is_learned: true}]"


@pytest.mark.parametrize(
    ("at_step", "more"),
    [(3, []), (50, []), (77, []), (50, [SAMPLED]), (50, [EVENTS]), (77, [LATE])],
)
def test_a_run_cut_off_within_an_epoch_ends_equal_to_a_whole_one(
    data, whole_run, tmp_path, monkeypatch, at_step, more
):
    whole, settings = whole_run(*more), [*SETTINGS, *more, EVERY_STEP]
    plain = EpochLog.on_train_batch_start

    def cut_off(self, trainer, module, batch, index):
        if trainer.global_step == at_step:
            raise MemoryError("cut off")
        plain(self, trainer, module, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_batch_start", cut_off)
        with pytest.raises(MemoryError):
            seqrec.train("sft", data=data, out=tmp_path / "broken", overrides=settings)
    assert not (tmp_path / "broken").exists()
    seqrec.train("sft", data=data, out=tmp_path / "broken", overrides=settings, resume=True)
    assert losses(tmp_path / "broken") == pytest.approx(losses(whole), rel=1e-6)
    assert weights(tmp_path / "broken") == weights(whole)


class Killed(BaseException):
    """A kill, which no handler of errors catches."""


def kill_in_epoch(hook, epoch):
    """Return a hook of the log that kills the run in an epoch, at its last batch or later."""
    plain = getattr(EpochLog, hook)

    def kill(self, trainer, module, *more):
        plain(self, trainer, module, *more)
        is_last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if trainer.current_epoch == epoch and is_last:
            raise Killed

    return kill


@pytest.mark.parametrize("max_epochs", [1, 3])
@pytest.mark.parametrize(
    "hook", ["on_train_batch_end", "on_validation_start", "on_train_epoch_end", "_after_checkpoint"]
)
def test_kills_at_the_ends_of_all_epochs_cost_nothing(
    data, whole_run, tmp_path, monkeypatch, hook, max_epochs
):
    epochs = ["data.batch_size=40", f"trainer.max_epochs={max_epochs}"]
    whole, settings = whole_run(*epochs), [*SETTINGS, *epochs, EVERY_STEP]
    resume = functools.partial(seqrec.train, "sft", data=data, out=tmp_path / "run")
    for epoch in range(max_epochs):
        with monkeypatch.context() as patch:
            if hook == "_after_checkpoint":
                save = EpochCheckpoint._save_topk_checkpoint

                def kill(self, trainer, *more, save=save, epoch=epoch):
                    save(self, trainer, *more)
                    if trainer.current_epoch == epoch:
                        raise Killed

                patch.setattr(EpochCheckpoint, "_save_topk_checkpoint", kill)
            else:
                patch.setattr(EpochLog, hook, kill_in_epoch(hook, epoch))
            with pytest.raises(Killed):
                resume(overrides=settings, resume=epoch > 0)
    result = resume(overrides=settings, resume=True)
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), rel=1e-6)
    assert weights(tmp_path / "run") == weights(whole)
    assert result["best_epoch"] == json.loads((whole / "metrics.json").read_text())["best_epoch"]


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_schedulers_signal_writes_a_checkpoint_and_ends_the_run(
    data, whole_run, tmp_path, monkeypatch, name, capsys
):
    before = signal.getsignal(getattr(signal, name))
    batches = ["data.batch_size=40"]
    whole, plain = whole_run(*batches), EpochLog.on_train_batch_start

    def send(self, trainer, module, batch, index):
        plain(self, trainer, module, batch, index)
        if trainer.global_step == 2:
            signal.raise_signal(getattr(signal, name))

    resume = functools.partial(
        seqrec.train, "sft", data=data, out=tmp_path / "run", overrides=[*SETTINGS, *batches]
    )
    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_batch_start", send)
        with pytest.raises(KeyboardInterrupt):
            resume()
    assert signal.getsignal(getattr(signal, name)) == before
    resume(resume=True)
    assert "continues from last.ckpt, after step 3" in capsys.readouterr().err
    assert weights(tmp_path / "run") == weights(whole)


def test_without_dropout_to_the_end_is_without_dropout(data, tmp_path):
    """From the first epoch on, or by a share of 0: the same weights."""
    for name, more in (
        ("late", ["model.dropout=0.3", "trainer.epochs_without_dropout=3"]),
        ("never", ["model.dropout=0"]),
        ("part", ["model.dropout=0.3", "trainer.epochs_without_dropout=1"]),
        ("cut", ["model.dropout=0.3", "trainer.epochs_without_dropout=1"]),
    ):
        seqrec.train("sft", data=data, out=tmp_path / name, overrides=[*SETTINGS, *more])
    assert weights(tmp_path / "late") == weights(tmp_path / "never")
    assert weights(tmp_path / "part") == weights(tmp_path / "cut") != weights(tmp_path / "never")
    dropped = losses(tmp_path / "part")
    assert losses(tmp_path / "never")[0] < dropped[0]


def test_a_run_of_before_a_setting_was_there_counts_as_one_of_its_default(data, tmp_path):
    settings = ["model.hidden_size=8", "trainer.max_epochs=1"]
    result = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=settings)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    del config["data"]["held_out_share"], config["model"]["transition_prior"]
    del config["provenance"]["catalog_fingerprint"]
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    again = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=settings, resume=True)
    assert again["validation"] == result["validation"]
    with pytest.raises(seqrec.SeqRecError, match="model.transition_prior differs"):
        transition_prior = [*settings, "model.transition_prior={}"]
        seqrec.train(
            "sft", data=data, out=tmp_path / "run", overrides=transition_prior, resume=True
        )


def interrupt(train, monkeypatch, at_step):
    plain = EpochLog.on_train_batch_start

    def kill(self, trainer, module, batch, index):
        if trainer.global_step == at_step:
            raise Killed
        plain(self, trainer, module, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_batch_start", kill)
        with pytest.raises(Killed):
            train()


def test_a_run_is_resumed_by_content_not_by_spelling(data, tmp_path, monkeypatch):
    """From another folder, on a moved copy of data and start, with more epochs."""
    small = ["model.hidden_size=16", "data.max_length=20", "data.batch_size=40"]
    start = tmp_path / "start"
    seqrec.train("sft", data=data, out=start, overrides=[*small, "trainer.max_epochs=1"])

    def train(out, *more, start=start, data=data, epochs=3, **options):
        settings = [*small, f"model.from_pretrained={start}", f"trainer.max_epochs={epochs}"]
        seqrec.train("sft", data=data, out=out, overrides=[*settings, *more], **options)

    whole, out = tmp_path / "whole", tmp_path / "run"
    train(whole)
    interrupt(lambda: train(out, EVERY_STEP, epochs=2), monkeypatch, at_step=3)
    shutil.copytree(data, tmp_path / "moved" / "data")
    shutil.copytree(start, tmp_path / "moved" / "start")
    monkeypatch.chdir(tmp_path / "moved")
    for refused, key in (
        (["trainer.learning_rate=0.1"], "trainer.learning_rate"),
        (["trainer.schedule=linear"], "trainer.(schedule|max_epochs)"),
        ([f"model.from_pretrained={whole}"], "provenance.start_fingerprint"),
    ):
        with pytest.raises(seqrec.SeqRecError, match=f"--resume: {key} differs"):
            train("../run", *refused, data="data", resume=True)
    with pytest.raises(seqrec.SeqRecError, match="trainer.max_epochs differs"):
        train("../run", data="data", epochs=1, resume=True)
    more = ["trainer.checkpoint_minutes=5", "trainer.patience=20"]
    train("../run", *more, start="start/", data="data/", resume=True)
    assert weights(out) == weights(whole)
    for epochs in (1, 2):
        with pytest.raises(seqrec.SeqRecError, match="max_epochs differs.*schedule is constant"):
            train("../run", "trainer.patience=20", data="data", epochs=epochs, resume=True)
    assert weights(out) == weights(whole)


def test_a_finished_run_grows_by_epochs_and_stays_in_place_until_it_has(
    data, whole_run, tmp_path, monkeypatch
):
    batches, out = ["data.batch_size=40"], tmp_path / "run"
    shorter, longer = whole_run(*batches, "trainer.max_epochs=1"), whole_run(*batches)

    def train(epochs, **options):
        settings = [*SETTINGS, *batches, EVERY_STEP, f"trainer.max_epochs={epochs}"]
        return seqrec.train("sft", data=data, out=out, overrides=settings, **options)

    num_steps = train(1)["num_steps"]
    for at_step in (num_steps + 1, num_steps + 2):
        interrupt(lambda: train(3, resume=True), monkeypatch, at_step=at_step)
        assert weights(out) == weights(shorter)
        assert len(losses(out)) == 1
    result = train(3, resume=True)
    assert result["num_epochs"] == len(losses(longer)) == len(losses(out))
    assert losses(out) == pytest.approx(losses(longer), rel=1e-6)
    assert weights(out) == weights(longer)
    assert train(3, resume=True)["validation"] == result["validation"]
    assert [path.name for path in tmp_path.glob("*run*")] == ["run"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "both"])
def test_a_damaged_checkpoint_is_one_line_or_the_one_before_is_used(
    data, whole_run, tmp_path, monkeypatch, damage, caplog
):
    batches = ["data.batch_size=40", "trainer.max_epochs=2"]
    whole, folder = whole_run(*batches), tmp_path / "run.partial" / "checkpoints"
    train = functools.partial(
        seqrec.train,
        "sft",
        data=data,
        out=tmp_path / "run",
        overrides=[*SETTINGS, *batches, EVERY_STEP],
    )
    interrupt(train, monkeypatch, at_step=4)
    content = bytearray((folder / "last.ckpt").read_bytes())
    content[len(content) // 2] ^= 4
    cut = bytes(content[: len(content) // 2])
    (folder / "last.ckpt").write_bytes(bytes(content) if damage == "flipped" else cut)
    if damage == "both":
        (folder / "last.previous.ckpt").write_bytes(b"")
        with pytest.raises(seqrec.SeqRecError, match="no whole checkpoint is left") as raised:
            train(resume=True)
        assert "\n" not in str(raised.value)
        return
    train(resume=True)
    assert "last.ckpt: damaged" in caplog.text
    assert weights(tmp_path / "run") == weights(whole)
