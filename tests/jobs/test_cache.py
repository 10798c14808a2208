"""A cache is the model's own numbers, goes on where it was cut, and belongs to what made it."""

import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import seqrec
from seqrec.data.caches.reference import MISMATCHES, build_header, read_reference_cache
from seqrec.data.feedback.pairs_file import read_pairs
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.tastes import opposed_tastes
from seqrec.errors import SeqRecError
from seqrec.models.weights import folder_fingerprint

QUICK = ["data.max_length=20", "model.hidden_size=32", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data, a model, pairs, and settings of a run that would use a cache of them."""
    folder: Path = tmp_path_factory.mktemp("cache")
    world = opposed_tastes(num_items=30, seed=0)
    seqrec.prepare(world.simulate(80, 14, seed=1), out=folder / "data")
    seqrec.train("sft", data=folder / "data", out=folder / "run", overrides=QUICK)
    seqrec.pairs(data=folder / "data", out=folder / "pairs.parquet", source="ratings")
    seqrec.cache(
        folder / "run",
        data=folder / "data",
        pairs=folder / "pairs.parquet",
        out=folder / "cache.parquet",
    )
    return folder


def test_its_numbers_are_the_models(made):
    table = pl.read_parquet(made / "pairs.parquet")
    found = pl.read_parquet(made / "cache.parquet")
    assert found.columns == ["pair", "chosen", "rejected", "unrelated"]
    rec = seqrec.Recommender.from_pretrained(made / "run")
    for row in range(0, len(table), 29):
        history, chosen, rejected = table.row(row)[1:4]
        vector = torch.from_numpy(rec.embed([history])[0])
        log_prob = (torch.from_numpy(rec.item_embeddings()) @ vector).log_softmax(0)
        items = [rec.item_ids.index(item_id) for item_id in (chosen, *rejected)]
        wanted = log_prob[items].tolist()
        assert [found["chosen"][row], *found["rejected"][row]] == pytest.approx(wanted, abs=1e-4)


def test_an_interrupted_one_goes_on(made, tmp_path, monkeypatch):
    monkeypatch.setattr("seqrec.runs.reference_cache.PART_ROWS", 8)
    arguments = {"data": made / "data", "pairs": made / "pairs.parquet"}
    out = tmp_path / "cache.parquet"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("seqrec.runs.reference_cache.join_parts", killed)
        with pytest.raises(KeyboardInterrupt):
            seqrec.cache(made / "run", out=out, **arguments)
    parts = sorted((tmp_path / "cache.parquet.partial").glob("*.parquet"))
    assert not out.exists() and len(parts) > 3
    stamps = [part.stat().st_mtime_ns for part in parts[:3]]
    for part in parts[3:]:
        part.unlink()
    assert [part.stat().st_mtime_ns for part in parts[:3]] == stamps
    result = seqrec.cache(made / "run", out=out, **arguments)
    assert result["parts_resumed"] == 3 and result["parts"] == len(parts)
    assert not (tmp_path / "cache.parquet.partial").exists()
    one, other = pl.read_parquet(out), pl.read_parquet(made / "cache.parquet")
    assert one["pair"].to_list() == other["pair"].to_list()
    np.testing.assert_allclose(one["chosen"], other["chosen"], atol=1e-4)


@pytest.mark.parametrize("header", ['{"kind": "pairs"}', '{"kind": "pa', ""])
def test_parts_of_something_else_are_begun_anew_where_that_is_asked_for(made, tmp_path, header):
    parts = tmp_path / "cache.parquet.partial"
    parts.mkdir()
    (parts / "made_of.json").write_text(header)
    (parts / "000000.parquet").write_bytes(b"of another model")
    arguments = {"data": made / "data", "pairs": made / "pairs.parquet"}
    arguments["out"] = tmp_path / "cache.parquet"
    with pytest.raises(SeqRecError, match="begun with other models, data or settings"):
        seqrec.cache(made / "run", **arguments)
    assert (parts / "000000.parquet").read_bytes() == b"of another model"
    assert seqrec.cache(made / "run", overwrite=True, **arguments)["parts_resumed"] == 0


def test_what_pairs_have_no_use_for_is_refused(made, tmp_path):
    arguments = {"data": made / "data", "pairs": made / "pairs.parquet", "out": tmp_path / "x"}
    for option, value in (("k", 5), ("windows", "last"), ("stride", 2)):
        with pytest.raises(SeqRecError, match=f"--{option} {value}: has no effect with --pairs"):
            seqrec.cache(made / "run", **arguments, **{option: value})


def test_what_is_no_part_stays_where_it_is(made, tmp_path):
    """The begun run of that name is not the cache's to delete."""
    checkpoint = tmp_path / "cache.parquet.partial" / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"of a run")
    with pytest.raises(SeqRecError, match="cache.parquet.partial: is in the way"):
        seqrec.cache(
            made / "run",
            data=made / "data",
            pairs=made / "pairs.parquet",
            out=tmp_path / "cache.parquet",
        )
    assert checkpoint.exists()


def test_a_cache_of_something_else_is_refused(made, tmp_path):
    def refused(match, **changes):
        settings = {
            "model.from_pretrained": made / "run",
            "data.pairs": made / "pairs.parquet",
            "objective.reference": made / "cache.parquet",
        } | changes.pop("settings", {})
        overrides = [f"{key}={value}" for key, value in settings.items()]
        data = changes.pop("data", made / "data")
        with pytest.raises(SeqRecError, match=match) as mistake:
            seqrec.train("dpo", data=data, out=tmp_path / "x", overrides=overrides)
        assert "\n" not in str(mistake.value)
        assert not any(tmp_path.glob("x*"))

    overrides = [*QUICK, "trainer.seed=3"]
    seqrec.train("sft", data=made / "data", out=tmp_path / "second", overrides=overrides)
    refused("another model", settings={"model.from_pretrained": tmp_path / "second"})
    seqrec.pairs(data=made / "data", out=tmp_path / "p.parquet", source="ratings", seed=1)
    refused("another pairs file", settings={"data.pairs": tmp_path / "p.parquet"})
    refused("histories of another length", settings={"data.max_length": 7})
    log = opposed_tastes(num_items=30, seed=0).simulate(80, 14, seed=1)
    seqrec.prepare(log.with_columns(rating=6 - pl.col("rating")), out=tmp_path / "rated")
    refused("on other data", data=tmp_path / "rated")
    seqrec.prepare(log, out=tmp_path / "renumbered", split_by="last-n:3")
    refused("another catalog", data=tmp_path / "renumbered")
    of_second = tmp_path / "of-second.parquet"
    more = {"data": made / "data", "pairs": made / "pairs.parquet"}
    seqrec.cache(tmp_path / "second", out=of_second, **more)
    refused("another model", settings={"objective.reference": of_second})
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    broken = {"objective.reference": tmp_path / "broken.parquet"}
    refused("not a Parquet file", settings=broken)


@pytest.mark.parametrize("is_cached", [True, False], ids=["cache", "model"])
def test_a_run_is_not_resumed_under_another_reference(made, tmp_path, is_cached):
    reference = tmp_path / "reference"
    (shutil.copy if is_cached else shutil.copytree)(
        made / ("cache.parquet" if is_cached else "run"), reference
    )
    overrides = [
        f"model.from_pretrained={made / 'run'}",
        f"data.pairs={made / 'pairs.parquet'}",
        f"objective.reference={reference}",
        "trainer.max_epochs=1",
    ]
    arguments = {"data": made / "data", "out": tmp_path / "x", "overrides": overrides}
    seqrec.train("dpo", **arguments)
    changed = reference if is_cached else reference / "model" / "config.json"
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(SeqRecError, match="provenance.reference_fingerprint differs"):
        seqrec.train("dpo", **arguments, resume=True)


@pytest.mark.parametrize("key", MISMATCHES)
def test_each_thing_that_a_cache_is_made_of_is_looked_at(made, key):
    data = PreparedData.open(made / "data")
    pairs = read_pairs(made / "pairs.parquet", data)
    header = build_header(
        model_fingerprint=folder_fingerprint(made / "run" / "model"),
        catalog_fingerprint=data.catalog_fingerprint,
        pairs_fingerprint=pairs.fingerprint,
        data_fingerprint=data.fingerprint,
        max_length=20,
    )
    assert len(read_reference_cache(made / "cache.parquet", header, len(pairs)).chosen) == len(
        pairs
    )
    with pytest.raises(SeqRecError, match=re.escape(MISMATCHES[key])):
        read_reference_cache(made / "cache.parquet", {**header, key: "other"}, len(pairs))
