"""Language models that learned items grow by more of them, also after LoRA, and go on."""

import numpy as np
import polars as pl
import pytest
import torch

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.models.weights import read_weights
from seqrec.ranking.history_reading import find_items
from seqrec.ranking.recommender import Recommender
from tests.families import save_tiny

QUICK = ["data.max_length=12", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
LORA = "model.tuning={name: lora, rank: 4}"
NUM_OLD = 30


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    log = first_order_world(num_items=NUM_OLD, seed=0).simulate(40, 14, seed=1)
    ids = log["item_id"].unique().sort()
    items = pl.DataFrame({"item_id": ids, "title": [f"Toy Story {one}" for one in ids]})
    return seqrec.prepare(log, items=items, out=tmp_path_factory.mktemp("data") / "data")["out"]


@pytest.mark.parametrize("head", ["tied", "untied"])
@pytest.mark.parametrize("family", ["gemma3", "mistral", "gpt2", "qwen3"])
def test_old_rows_and_scores_stay_in_two_growths_around_more_training(data, tmp_path, family, head):
    base = save_tiny(tmp_path / "base", family)
    named = [f"model.backbone={base}", "model.initial_vectors=text", f"model.head={head}", LORA]
    first = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=[*QUICK, *named])["out"]
    grown = _extend(first, tmp_path / "grown", "n1", "n2")
    more = [*QUICK, f"model.from_pretrained={grown}", LORA]
    later = seqrec.train("sft", data=data, out=tmp_path / "later", overrides=more)["out"]
    went_on = Recommender.from_pretrained(later)
    assert went_on.num_items == NUM_OLD
    last = Recommender.from_pretrained(_extend(later, tmp_path / "last", "n3"))
    assert last.item_ids[NUM_OLD:] == ["n3"]
    assert len(last.recommend([["n3", last.item_ids[0]]], k=5)[0]) == 5
    result = seqrec.verify(last.folder, histories=20)
    assert result["passed"], [one for one in result["properties"] if one["result"] == "failed"]


def _extend(run, out, *ids):
    """A run with new items, whose old rows and scores are those of before."""
    new = pl.DataFrame({"item_id": list(ids), "title": [f"Toy {one}" for one in ids]})
    result = seqrec.extend(run, items=new, rows="words", columns=["title"], out=out)
    assert result["new"] == len(ids)
    old, grown = (Recommender.from_pretrained(folder) for folder in (run, out))
    before, after = read_weights(old.folder), read_weights(grown.folder)
    first, size = old.model.config.first_item_token, old.num_items
    table = next(name for name in before if name.endswith(("embed_tokens.weight", "wte.weight")))
    assert torch.equal(before[table][: first + size], after[table][: first + size])
    assert np.array_equal(old.item_embeddings(), grown.item_embeddings()[:size])
    known, _ = find_items(old.table, [old.item_ids[:3], old.item_ids[5:20]])
    scores = [one.score_tiles(known)(0, size).numpy() for one in (old, grown)]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)
    assert grown.item_embeddings()[size:].any(axis=1).all()
    return out
