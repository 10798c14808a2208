"""A refit: the strict run's choices, and its training once more with the validation part."""

import json
import shutil

import polars as pl
import pytest
from safetensors.torch import load_file

import seqrec
from seqrec.data.checksums import file_sha256
from seqrec.data.histories import write_blocks
from seqrec.data.manifest import manifest_sha256
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.data.splits import TEST, TRAIN, VALIDATION
from seqrec.errors import SeqRecError
from seqrec.training.epoch_log import EpochLog

SETTINGS = [
    "data.max_length=20",
    "data.batch_size=4",
    "model.hidden_size=16",
    "trainer.max_epochs=4",
    "trainer.patience=1",
    "trainer.precision=float32",
]
REFIT = [*SETTINGS, "trainer.refit=validation"]


@pytest.fixture(scope="module")
def log():
    return first_order_world(num_items=40, seed=0).simulate(150, 12, seed=1)


@pytest.fixture(scope="module")
def data(log, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refit") / "data"
    seqrec.prepare(log, out=folder)
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("refit") / "run"
    seqrec.train("sft", data=data, out=out, overrides=REFIT)
    return out


def weights(run):
    return load_file(run / "model" / "model.safetensors")


def is_equal(ours, theirs):
    return ours.keys() == theirs.keys() and all((ours[key] == theirs[key]).all() for key in ours)


def read_metrics(run):
    return json.loads((run / "metrics.json").read_text())


def test_the_strict_run_is_the_one_without_a_refit_and_gives_the_metrics(data, run, tmp_path):
    seqrec.train("sft", data=data, out=tmp_path / "plain", overrides=SETTINGS)
    assert is_equal(weights(run / "strict"), weights(tmp_path / "plain"))
    assert not is_equal(weights(run), weights(run / "strict"))
    result, strict = read_metrics(run), read_metrics(run / "strict")
    for key in ("validation", "best_epoch", "selection_metric"):
        assert result[key] == strict[key]
    assert result["details"]["refit"] == "strict"
    assert result["num_epochs"] == strict["best_epoch"]


def test_the_refit_equals_training_on_a_folder_whose_validation_rows_are_training(
    data, run, tmp_path
):
    """Write such a folder, and train on it for the chosen number of epochs."""
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    rows = pl.read_parquet(folder / "interactions.parquet")
    split = pl.when(pl.col("split") == VALIDATION).then(TRAIN).otherwise("split").cast(pl.UInt8)
    write_blocks(rows.with_columns(split=split), folder / "interactions.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["files"]["interactions.parquet"]
    entry["sha256"] = file_sha256(folder / "interactions.parquet")
    manifest["sha256"] = manifest_sha256(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    settings = [*SETTINGS, f"trainer.max_epochs={read_metrics(run)['best_epoch']}"]
    seqrec.train("sft", data=folder, out=tmp_path / "run", overrides=settings)
    assert is_equal(weights(run), weights(tmp_path / "run"))


def test_the_test_part_stays_out_and_validation_becomes_training(data):
    plain = PreparedData.open(data)
    joined = plain.with_validation_in_training()
    before, after = plain.histories(), joined.histories()
    assert (after.split[before.split == VALIDATION] == TRAIN).all()
    assert ((after.split == TEST) == (before.split == TEST)).all()
    (block,) = range(len(joined.blocks()))
    assert (joined.blocks().read([block]).split == after.split).all()


def test_a_refit_cut_off_in_its_second_part_ends_equal_to_a_whole_one(
    data, run, tmp_path, monkeypatch
):
    plain = EpochLog.on_train_batch_start

    def cut_off(self, trainer, module, batch, index):
        is_second = self.monitor is None
        if is_second and trainer.global_step == 3:
            raise MemoryError("cut off")
        plain(self, trainer, module, batch, index)

    settings = [*REFIT, "trainer.checkpoint_minutes=1e-9"]
    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_batch_start", cut_off)
        with pytest.raises(MemoryError):
            seqrec.train("sft", data=data, out=tmp_path / "run", overrides=settings)
    seqrec.train("sft", data=data, out=tmp_path / "run", overrides=settings, resume=True)
    assert is_equal(weights(tmp_path / "run"), weights(run))


def test_the_strength_that_validation_chose_is_kept(data, tmp_path):
    settings = [*REFIT, "trainer.max_epochs=1", "model.transition_prior={}"]
    result = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=settings)
    strict = read_metrics(tmp_path / "run" / "strict")
    assert result["details"]["prior_strength"] == strict["details"]["prior_strength"]
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["transition_prior"]["strength"] == strict["details"]["prior_strength"]
    assert config["refit"] is True


def test_a_refit_is_labelled_and_never_beside_strict_systems(data, run):
    (row,) = seqrec.evaluate([run], data=data)["rows"]
    assert row["system"] == "run (refit)"
    (row,) = seqrec.evaluate([run / "strict"], data=data)["rows"]
    assert "refit" not in row["system"]
    for models in ([run, "popularity"], ["popularity", run]):
        with pytest.raises(SeqRecError, match="refit: trained on the validation part, which"):
            seqrec.evaluate(models, data=data)
    with pytest.raises(SeqRecError, match="evaluate on --split test"):
        seqrec.evaluate([run], data=data, split="validation")


def test_training_that_validation_judges_does_not_start_from_a_refit(data, run, tmp_path):
    for name, key in (("sft", "model.from_pretrained={}"), ("distill", "objective.teachers=[{}]")):
        with pytest.raises(SeqRecError, match="a refit model, .* name the folder strict"):
            seqrec.train(name, data=data, out=tmp_path / "run", overrides=[key.format(run)])


def test_data_without_validation_has_no_refit(log, tmp_path):
    seqrec.prepare(log, out=tmp_path / "data", split_by="none")
    with pytest.raises(SeqRecError, match="trainer.refit: .* has no validation target under none"):
        seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run", overrides=REFIT)
