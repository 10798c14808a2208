"""Items match by id: a model is served, evaluated and continued on data with another catalog."""

import logging

import numpy as np
import polars as pl
import pytest
import torch

import seqrec
from seqrec.builders.model import count_items
from seqrec.builders.named_models import open_item_recommender, open_recommender
from seqrec.builders.other_catalog import carry_over
from seqrec.builders.pretrained import fit_to_log
from seqrec.config.load import load_recipe
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.ranking.data_recommender import DataRecommender
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.tokenizer import load_tokenizer

QUICK = [
    "data.max_length=12",
    "model.hidden_size=16",
    "model.intermediate_size=16",
    "model.num_hidden_layers=1",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
]
KINDS = {
    "tied, with a prior": ["model.transition_prior={strength: 0.5}"],
    "untied": ["model.head=untied"],
    "an ensemble": ["model.num_members=2"],
    "events": ["data.events={features: [{name: rating, column: rating, place: after}]}"],
}


@pytest.fixture(scope="module")
def log():
    return first_order_world(num_items=30, seed=0).simulate(80, 10, seed=1)


@pytest.fixture(scope="module")
def data(log, tmp_path_factory):
    return seqrec.prepare(log, out=tmp_path_factory.mktemp("data") / "data")["out"]


@pytest.fixture(scope="module")
def resorted(log, tmp_path_factory):
    """The same rows, users in another order: users and items have other numbers."""
    users = pl.DataFrame({"user_id": log["user_id"].unique().sort(descending=True)})
    rows = users.join(log, on="user_id", how="left", maintain_order="left_right")
    return seqrec.prepare(rows, out=tmp_path_factory.mktemp("data") / "resorted")["out"]


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def run(request, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    return seqrec.train("sft", data=data, out=out, overrides=[*QUICK, *request.param])["out"]


def lists(run, data, file, **options):
    out = seqrec.recommend(run, data=data, k=10, out=file, **options)["out"]
    return pl.read_parquet(out).sort("user_id", "rank")


def test_the_same_titles_in_another_order_change_nothing(run, data, resorted, tmp_path):
    ids = [PreparedData.open(folder).items()["item_id"].to_list() for folder in (data, resorted)]
    assert ids[0] != ids[1] and sorted(ids[0]) == sorted(ids[1])
    first, second = (
        lists(run, folder, tmp_path / f"{number}.parquet")
        for number, folder in enumerate((data, resorted))
    )
    assert first["item_id"].to_list() == second["item_id"].to_list()
    np.testing.assert_allclose(first["score"], second["score"], rtol=1e-5)
    rows = [seqrec.evaluate(run, data=folder, k=5)["rows"][0] for folder in (data, resorted)]
    for key in ("ndcg@5", "recall@5", "mrr@5", "coverage@5"):
        assert rows[0][key] == pytest.approx(rows[1][key], rel=1e-6)


def test_the_catalog_of_training_is_opened_as_it_is(run, data):
    assert type(open_recommender(run, PreparedData.open(data))) is Recommender


def test_carried_weights_score_every_item_as_before(run, data, resorted):
    own, other = Recommender.from_pretrained(run), PreparedData.open(resorted)
    carried = carry_over(own, load_tokenizer(own_folder(run)), other)
    new_of_old = torch.from_numpy(carried.mapping.to_data)
    first = own.model.config.first_item_token
    items = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    if own.model.config.events is not None:
        return
    with torch.no_grad():
        old = own.model(input_ids=first + items).logits
        new = carried.model(input_ids=first + new_of_old[items]).logits
    torch.testing.assert_close(new[:, new_of_old], old)


def own_folder(run):
    from seqrec.models.folder import model_folder

    return model_folder(run)


def grown(log, tmp_path, name="grown"):
    """The log with one more event: an item that nobody watched before."""
    last = log.filter(pl.col("user_id") == log["user_id"][0]).sort("timestamp")[-1:]
    row = last.with_columns(item_id=pl.lit("new"), timestamp=pl.col("timestamp") + 1)
    return seqrec.prepare(pl.concat([log, row]), out=tmp_path / name)["out"]


def test_an_unknown_item_is_skipped_and_never_recommended(run, log, tmp_path, caplog):
    data = grown(log, tmp_path)
    prepared, user = PreparedData.open(data), log["user_id"][0]
    result = seqrec.evaluate(run, data=data, k=30)
    (note,) = [note for note in result["notes"] if "'new'" in note]
    assert note.startswith("1 of 31 items") and "(1 interactions)" in note
    ranker = open_recommender(run, prepared)
    assert isinstance(ranker, DataRecommender)
    unknown = prepared.items()["item_id"].to_list().index("new")
    histories = [np.array([unknown, 0, 1, unknown]), np.array([0, 1])]
    if ranker.events is None:
        ranked = ranker.rank(histories, 31, exclude_seen=False)
        assert torch.equal(ranked.items[0], ranked.items[1])
        assert unknown not in ranked.items and (ranked.items >= 0).sum(dim=1).tolist() == [30, 30]
    with caplog.at_level(logging.WARNING):
        found = lists(run, data, tmp_path / "lists.parquet", split="all")
    assert any("1 of 31 items" in message for message in caplog.messages)
    assert "new" not in found["item_id"].to_list()
    watched = log.filter(pl.col("user_id") == user).sort("timestamp")
    columns = ("item_id", "rating") if ranker.events else ("item_id",)
    history = watched.select(columns).to_dicts() if ranker.events else watched["item_id"].to_list()
    expected = seqrec.recommend(run, history=history, k=10)["recommendations"]
    mine = found.filter(pl.col("user_id") == user)
    assert mine["item_id"].to_list() == [row["item_id"] for row in expected]


def test_items_that_the_data_lack_are_candidates_of_serving_alone(run, log, tmp_path):
    gone = log["item_id"][0]
    less = seqrec.prepare(log.filter(pl.col("item_id") != gone), out=tmp_path / "less")["out"]
    served = lists(run, less, tmp_path / "lists.parquet", exclude_seen=False)
    assert gone in served["item_id"].to_list()
    prepared = PreparedData.open(less)
    ranked = open_recommender(run, prepared).rank([np.array([2, 3])], 30, exclude_seen=False)
    assert sorted(ranked.items[0][ranked.items[0] >= 0].tolist()) == list(range(29))
    result = seqrec.evaluate(run, data=less, k=5, retrieval=["faiss-flat"])
    if "strength" not in str(open_recommender(run).model.config.transition_prior):
        assert [row["recall_against_exact"] for row in result["rows"][1:]] == [1.0]
    (note,) = [n for n in result["notes"] if "not in" in n]
    assert note.startswith("1 of 30 items of first") and f"'{gone}'" in note


def test_training_goes_on_with_old_rows_and_new_ones(run, log, data, tmp_path, caplog):
    more = grown(log, tmp_path)
    caplog.set_level(logging.WARNING)
    overrides = [*QUICK[:1], *QUICK[-2:], f"model.from_pretrained={run}"]
    overrides.append("trainer.learning_rate=1e-9")
    result = seqrec.train("sft", data=more, out=tmp_path / "second", overrides=overrides)
    assert any(": 30 items matched by id; 1 of 31 items" in text for text in caplog.messages)
    old, new = (Recommender.from_pretrained(folder) for folder in (run, result["out"]))
    rows = [new.item_ids.index(item_id) for item_id in old.item_ids]
    np.testing.assert_allclose(
        new.item_embeddings()[rows], old.item_embeddings(), rtol=1e-3, atol=1e-5
    )
    assert new.item_ids == PreparedData.open(more).items()["item_id"].to_list()
    again = seqrec.train("sft", data=more, out=tmp_path / "again", overrides=overrides)
    assert again["validation"] == result["validation"]
    prior = new.model.transition_prior
    if prior is not None:
        prepared = PreparedData.open(more)
        counts = torch.from_numpy(count_items(prepared))
        assert torch.equal(prior.popularity, (counts + 1) / (counts + 1).sum())


def test_the_same_log_leaves_a_model_as_it_is(run, data):
    prepared = PreparedData.open(data)
    recommender = Recommender.from_pretrained(run)
    before = {name: tensor.clone() for name, tensor in recommender.model.state_dict().items()}
    fit_to_log(load_recipe("sft", []), prepared, recommender.model, count_items(prepared))
    after = recommender.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_readers_of_vectors_take_another_order_and_name_other_items(run, log, resorted, tmp_path):
    if Recommender.from_pretrained(run).events is not None:
        return
    own = Recommender.from_pretrained(run)
    other = open_item_recommender(run, PreparedData.open(resorted), "a test")
    rows = [own.item_ids.index(item_id) for item_id in other.item_ids]
    assert np.array_equal(other.item_embeddings(), own.item_embeddings()[rows])
    data = PreparedData.open(grown(log, tmp_path))
    with pytest.raises(SeqRecError, match="1 of 31 items of .* are unknown to first: 'new'"):
        open_item_recommender(run, data, "a test")


def test_catalogs_without_a_common_item_are_refused(run, log, tmp_path):
    rows = log.with_columns(item_id="x" + pl.col("item_id"))
    data = seqrec.prepare(rows, out=tmp_path / "other")["out"]
    with pytest.raises(SeqRecError, match="another catalog .* no item in common"):
        seqrec.evaluate(run, data=data)
