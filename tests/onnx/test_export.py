"""Exports to ONNX by the verb: what is measured, run with seqrec and without it, and refused."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import seqrec
from seqrec.data.catalog import catalog_fingerprint, write_items
from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.onnx.folder import open_onnx
from seqrec.onnx.parity import compare, draw
from seqrec.outputs import find_foreign
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.tokenizer import build_tokenizer, tokenizer_fingerprint
from tests.conftest import save_small_model, small_config
from tests.tokens.conftest import feature

GRAMMAR = Grammar(
    (
        feature("genre", source="item", key="genre", values=("Crime", "Drama")),
        feature(
            "next genre", source="item", key="genre", values=("Crime", "Drama"), place="before"
        ),
        feature("rating"),
    )
)


def save_event_model(folder: Path) -> Path:
    """A model of events and their times with a transition prior, and random weights."""
    item_ids = [f"t{item}" for item in range(100)]
    tokenizer = build_tokenizer(item_ids, GRAMMAR.words)
    config = small_config(
        catalog_fingerprint=catalog_fingerprint(item_ids),
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        events=GRAMMAR.to_dict(),
        transition_prior={
            "num_edges": 300,
            "max_steps": 4,
            "step_decay": 0.5,
            "query_decay": 0.7,
            "smoothing": 5.0,
            "strength": 0.6,
        },
    )
    config.backbone_config.time_bias = "target_time"
    config.backbone_config.num_hidden_layers = 1
    config.backbone_config.max_position_embeddings = 16 * 4
    model = SeqRecForNextItem(config)
    for layer in model.backbone.layers:
        torch.nn.init.normal_(layer.attention.time_bias.weight)
    generator = torch.Generator().manual_seed(1)
    targets = [torch.randperm(100, generator=generator)[:3].sort().values for _ in range(100)]
    weight = torch.randint(1, 9, (300,), generator=generator).float()
    model.transition_prior.load_transitions(
        torch.arange(0, 303, 3),
        torch.cat(targets),
        weight,
        weight.view(100, 3).sum(dim=1) + 1,
        torch.arange(100),
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    genres = pl.Series([("Crime", "Drama", None)[item % 3] for item in range(100)])
    items = pl.DataFrame({"item": range(100), "item_id": item_ids, "title": item_ids})
    items = items.with_columns(pl.col("item").cast(pl.UInt32), genre=genres)
    write_items(items, np.arange(100), folder / "items.parquet")
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("onnx")
    model = save_event_model(folder / "model")
    seqrec.export(model, to="onnx", out=folder / "export")
    return folder


def test_the_export_measures_how_far_it_agrees(exported):
    manifest = json.loads((exported / "export" / "manifest.json").read_text())
    parity = manifest["parity"]
    assert parity["histories"] == 1000 and parity["k"] == 10
    assert 0 < parity["max_logit_difference"] < 1e-4 and parity["identical_lists"] > 990
    assert manifest["inputs"] == ["input_ids", "attention_mask", "times"]


def test_lists_of_events_with_times_are_those_of_pytorch(exported):
    own, other = Recommender.from_pretrained(exported / "model"), open_onnx(exported / "export")
    histories = [
        [
            {"item_id": "t3", "rating": 5, "time": 0},
            {"item_id": "t7", "rating": 1, "time": 86_400},
            {"item_id": "t9", "time": 90_000},
        ],
        ["t1"] * 30 + ["t2"],
        [],
    ]
    for found, expected in zip(
        other.recommend(histories, k=12), own.recommend(histories, k=12), strict=True
    ):
        assert [item_id for item_id, _ in found] == [item_id for item_id, _ in expected]
        np.testing.assert_allclose(
            [score for _, score in found], [score for _, score in expected], atol=1e-4
        )
    rated = [{"item_id": "t3", "rating": 5}], [{"item_id": "t3", "rating": 1}]
    assert np.abs(np.diff(other.embed(list(rated)), axis=0)).max() > 1e-3


def read_script() -> str:
    text = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text()
    (script,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return script


@pytest.mark.parametrize("history", [["t3", "t7", "t9"], ["t5"] * 20 + ["unknown", "t0"]])
def test_the_script_of_the_docs_does_without_seqrec_and_torch(exported, history, tmp_path):
    blocked = "import sys\nsys.modules['seqrec'] = sys.modules['torch'] = None\n"
    (tmp_path / "recommend.py").write_text(blocked + read_script())
    command = [sys.executable, "recommend.py", str(exported / "export"), *history]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = [line.split("\t") for line in output.stdout.splitlines()]
    (expected,) = Recommender.from_pretrained(exported / "model").recommend([history], k=10)
    assert [item_id for item_id, *_ in found] == [item_id for item_id, _ in expected]
    scores = [float(score) for _, score, _ in found]
    np.testing.assert_allclose(scores, [score for _, score in expected], atol=2e-4)


def test_a_graph_of_other_weights_is_refused(exported, tmp_path):
    shutil.copytree(exported / "export", tmp_path / "export")
    config = tmp_path / "export" / "config.json"
    config.write_text(config.read_text().replace("0.6", "0.7"))
    with pytest.raises(SeqRecError, match="decoder.onnx is not of this model; export again"):
        open_onnx(tmp_path / "export")
    (tmp_path / "export" / "decoder.onnx").write_bytes(b"cut")
    with pytest.raises(SeqRecError, match="missing or changed since the export"):
        open_onnx(tmp_path / "export")


def test_an_export_may_be_replaced_as_a_whole(exported):
    assert find_foreign(exported / "export") is None


def test_a_plain_model_folder_gets_its_graph_on_the_way(tmp_path):
    folder = save_small_model(tmp_path / "model")
    own, other = Recommender.from_pretrained(folder), open_onnx(folder)
    assert compare(own, other, draw(own)).max_logit_difference < 1e-5
    assert {file.name for file in folder.iterdir()} & {"decoder.onnx", "manifest.json"} == set()


def test_logits_that_differ_are_refused(tmp_path):
    one, other = (
        Recommender.from_pretrained(save_small_model(tmp_path / name)) for name in ("a", "b")
    )
    torch.nn.init.normal_(other.model.backbone.layers[0].attention.o_proj.weight)
    with pytest.raises(
        SeqRecError, match="logits of a differ from PyTorch's by .* .at most 0.0001"
    ):
        compare(one, other, draw(one)[:5])


def test_mistakes_are_named(tmp_path):
    recommender = Recommender.from_pretrained(save_small_model(tmp_path / "model"))
    recommender.folder = None
    with pytest.raises(SeqRecError, match="--to onnx: .* is in memory alone; name its folder"):
        seqrec.export(recommender, to="onnx", out=tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_a_graph_that_fails_while_it_runs_is_one_line(exported):
    class Broken:
        def run(self, names, inputs):
            raise RuntimeError("no such shape\nat node 7")

    recommender = open_onnx(exported / "export")
    recommender.session = Broken()
    with pytest.raises(SeqRecError, match="the graph: cannot be read: no such shape; export again"):
        recommender.recommend([["t1"]], k=2)
