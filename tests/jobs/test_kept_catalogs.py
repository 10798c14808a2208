"""Recipes on text that start from a model with two heads: words learn, and the items stay."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM

import seqrec
from seqrec import Recommender
from seqrec.errors import SeqRecError
from seqrec.models.adapters import load_adapter
from seqrec.models.two_heads import HEAD_FILE
from seqrec.tokens.tokenizer import item_token
from tests.conftest import save_small_model
from tests.two_heads import write_two_headed

QUICK = {
    "data.max_length": 100,
    "data.row_length": 200,
    "data.held_out_share": 0.2,
    "model.tuning": {"name": "lora", "rank": 4},
    "trainer.max_epochs": 2,
    "trainer.learning_rate": 0.02,
    "trainer.accumulate_batches": 1,
    "trainer.sample_steps": 0,
}
LINES = {
    "text-sft": {
        "messages": [
            {"role": "user", "content": f"I liked {item_token('t3')}"},
            {"role": "assistant", "content": f"{item_token('t4')} it"},
        ]
    },
    "text-dpo": {"prompt": "Seven", "chosen": f" {item_token('t5')}", "rejected": " Babe"},
    "text-kto": {"prompt": "Seven", "completion": " Babe", "label": True},
}


def write_lines(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def train(recipe, start, out, **changes):
    data = write_lines(out.with_suffix(".jsonl"), *[LINES[recipe]] * 20)
    overrides = {**QUICK, "model.backbone": str(start), **changes}
    return seqrec.train(recipe, data=data, out=out, overrides=overrides)


def plain(folder):
    load = AutoModelForCausalLM.from_pretrained
    return load(folder, trust_remote_code=False, dtype=torch.float32).eval()


@pytest.mark.parametrize(
    ("recipe", "family", "head"),
    [
        ("text-sft", "smollm", "tied"),
        ("text-sft", "llama", "projected"),
        ("text-dpo", "llama", "tied"),
        ("text-kto", "smollm", "untied"),
    ],
)
def test_both_heads_come_out_and_no_item_vector_moves(recipe, family, head, tmp_path, capsys):
    """Also where the weights below the updates are held in bfloat16."""
    start = write_two_headed(tmp_path / "start", family, head)
    run = train(recipe, start, tmp_path / "run", **{"trainer.precision": "bfloat16"})
    assert f"{start}: its catalog head is kept as it is" in capsys.readouterr().err
    before, after = (Recommender.from_pretrained(one) for one in (start, run["run"]))
    np.testing.assert_array_equal(after.item_embeddings(), before.item_embeddings())
    assert after.model.config.head == head and after.item_ids == before.item_ids
    tokens = torch.arange(20, 60)[None]
    adapter = Path(run["run"]) / "adapter"
    with torch.no_grad():
        found, old = plain(run["model"])(tokens).logits, plain(start)(tokens).logits
        expected = load_adapter(plain(start).bfloat16().float(), adapter)(input_ids=tokens).logits
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)
    assert (found - old).abs().max() > 0.1
    text = f"I liked {item_token('t3')}"
    assert len(after.recommend(text=text, k=3)[0]) == len(after.recommend([["t3"]], k=3)[0]) == 3
    assert isinstance(after.generate(text), str)
    assert seqrec.verify(run["run"], histories=20)["passed"]


def test_all_weights_move_item_vectors_that_are_rows_of_the_vocabulary(tmp_path, capsys):
    tied, untied = (write_two_headed(tmp_path / one, head=one) for one in ("tied", "untied"))
    full = {"model.tuning": {"name": "full"}}
    for start, moves in ((tied, True), (untied, False)):
        run = train("text-sft", start, tmp_path / f"run-{start.name}", **full)
        lists = [Recommender.from_pretrained(one).item_embeddings() for one in (start, run["run"])]
        assert np.array_equal(*lists) is not moves
        said = capsys.readouterr().err
        assert ("which tuning full moves" in said) is moves
        padding = plain(run["model"]).get_input_embeddings().weight[len(_words(start)) :]
        assert len(padding) and not padding.any()


def _words(folder):
    return Recommender.from_pretrained(folder).texts.tokenizer


def test_every_verb_reads_the_run(tmp_path):
    start = write_two_headed(tmp_path / "start", ids=[f"t{number}" for number in range(30)])
    run = train("text-sft", start, tmp_path / "run")["run"]
    rows = [(user, f"t{(user + step) % 30}", step) for user in range(12) for step in range(6)]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    log.write_csv(tmp_path / "log.csv")
    seqrec.prepare(tmp_path / "log.csv", out=tmp_path / "data")
    found = seqrec.evaluate([run, start], data=tmp_path / "data", k=[5])
    assert [one["system"] for one in found["rows"]] == ["run", "start"]
    seqrec.export(run, to="numpy", out=tmp_path / "vectors")
    seqrec.export(run, to="faiss", out=tmp_path / "index")
    exact = seqrec.recommend(run, history=["t3", "t5"], k=5)
    by_index = seqrec.recommend(
        run, history=["t3", "t5"], k=5, index=tmp_path / "index" / "items" / "flat"
    )
    assert [one["item_id"] for one in by_index["recommendations"]] == [
        one["item_id"] for one in exact["recommendations"]
    ]
    assert len(seqrec.recommend(run, text="a film", k=5)["recommendations"]) == 5
    again = train("text-dpo", run, tmp_path / "again")
    assert (Path(again["model"]) / HEAD_FILE).is_file()


def test_mistakes_are_one_line(tmp_path):
    start = write_two_headed(tmp_path / "start")
    data = write_lines(
        tmp_path / "pairs.jsonl",
        LINES["text-dpo"],
        {"prompt": "Seven", "chosen": " <item:none>", "rejected": " Babe"},
    )
    overrides = {**QUICK, "model.backbone": str(start)}
    with pytest.raises(SeqRecError, match="line 2: <item:none> is no item of the catalog"):
        seqrec.train("text-dpo", data=data, out=tmp_path / "out", overrides=overrides)
    other = write_two_headed(tmp_path / "other", "llama")
    adapter = Path(train("text-sft", other, tmp_path / "run")["run"]) / "adapter"
    with pytest.raises(SeqRecError, match="an adapter of another base"):
        train("text-sft", start, tmp_path / "out", **{"model.adapter": str(adapter)})
    items = save_small_model(tmp_path / "items")
    with pytest.raises(SeqRecError, match="answers with items alone; name a model that was"):
        train("text-sft", items, tmp_path / "out")
    merged = train("text-sft", other, tmp_path / "merged", **{"model.adapter": str(adapter)})
    assert (Path(merged["model"]) / HEAD_FILE).is_file()
