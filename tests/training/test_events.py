"""Training with events, in worlds where they matter."""

import numpy as np
import polars as pl
import pytest
import torch

import seqrec
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.ratings import rating_world
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.losses.catalog import IGNORE_INDEX, catalog_cross_entropy
from seqrec.models import SeqRecForNextItem
from seqrec.models.feature_heads import FeatureVocabulary
from seqrec.training.steps.sft import EventsLoss, sft_loss
from seqrec.training.tensors import PackedTensors
from tests.conftest import small_config

QUICK = [
    "data.max_length=16",
    "data.batch_size=16",
    "model.hidden_size=32",
    "model.dropout=0.1",
    "trainer.learning_rate=0.005",
    "trainer.precision=float32",
]
RATING = "{name: rating, column: rating, is_learned: true}"
WANTED = "{name: wanted, column: rating, place: before}"


def grammar(*features):
    return f"data.events={{features: [{', '.join(features)}]}}"


def last_test_queries(world, data):
    """What stands before the test targets, in the world's numbers, and the last rating of each."""
    prepared = PreparedData.open(data)
    log = prepared.histories(["rating"])
    number_of = {item_id: number for number, item_id in enumerate(world.item_ids)}
    numbers = np.array([number_of[item_id] for item_id in prepared.items()["item_id"]])
    ends = log.offsets[1:] - 1
    bounds = zip(log.offsets[:-1], ends, strict=True)
    histories = [numbers[log.items[start:end]].tolist() for start, end in bounds]
    return histories, log.columns["rating"][ends - 1].astype(int).tolist()


@pytest.mark.parametrize("event_vectors", ["each", "sum"])
def test_events_reach_an_optimum_that_titles_alone_cannot(tmp_path, event_vectors):
    world, num_users = rating_world(num_items=16, seed=0), 1200
    seqrec.prepare(world.simulate(num_users, 9, seed=1), out=tmp_path / "data")
    overrides = [*QUICK, "trainer.max_epochs=8"]
    told = [*overrides, grammar("{name: rating, column: rating, dropout: 0}")]
    told.append(f"model.event_vectors={event_vectors}")
    seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "titles", overrides=overrides)
    seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "events", overrides=told)
    models = [tmp_path / "titles", tmp_path / "events"]
    rows = seqrec.evaluate(models, data=tmp_path / "data", k=1)["rows"]
    titles, events = (row["recall@1"] for row in rows)
    histories, ratings = last_test_queries(world.worlds[0], tmp_path / "data")
    best = world.best_recall(histories, ratings, 1)
    of_titles = world.best_recall_from_items(histories, 1)
    noise = 2 * np.sqrt(best * (1 - best) / num_users)
    assert titles < of_titles + noise
    assert events > of_titles + 2 * noise
    assert events > 0.95 * best - noise


@pytest.fixture(scope="module")
def liked(tmp_path_factory):
    """A model of a world in which every other title is rated 5, the others 1."""
    folder = tmp_path_factory.mktemp("liked")
    log = first_order_world(num_items=40, seed=0, concentration=0.5).simulate(400, 14, seed=1)
    is_even = pl.col("item_id").str.slice(1).cast(pl.Int64) % 2 == 0
    log = log.with_columns(rating=pl.when(is_even).then(5).otherwise(1))
    seqrec.prepare(log, out=folder / "data", split_by="last-n:3")
    overrides = [*QUICK, "trainer.max_epochs=15", grammar(RATING, WANTED)]
    seqrec.train("sft", data=folder / "data", out=folder / "run", overrides=overrides)
    return folder


def test_a_wish_may_share_the_position_of_the_last_event(liked, tmp_path):
    overrides = [*QUICK, "trainer.max_epochs=15", "model.event_vectors=sum", grammar(WANTED)]
    seqrec.train("sft", data=liked / "data", out=tmp_path / "run", overrides=overrides)
    rec = seqrec.Recommender.from_pretrained(tmp_path / "run")
    histories = [["t03", "t08"], ["t11"], ["t20", "t31", "t02"]]
    wanted, unwanted = (
        rec.recommend(histories, k=8, conditions={"rating": rating}) for rating in (5, 1)
    )
    assert share_of_even(unwanted) < 0.1 and share_of_even(wanted) > 0.9


def share_of_even(lists):
    return np.mean([int(item_id[1:]) % 2 == 0 for ids in lists for item_id, _ in ids])


def test_titles_are_recommended_that_will_be_what_was_asked_for(liked):
    rec = seqrec.Recommender.from_pretrained(liked / "run")
    histories = [["t03", "t08"], ["t11"], ["t20", "t31", "t02"]]
    plain, wanted, unwanted = (
        rec.recommend(histories, k=8, conditions=given)
        for given in (None, {"rating": 5}, {"wanted": "1"})
    )
    assert share_of_even(unwanted) < 0.1 < share_of_even(plain) < 0.9 < share_of_even(wanted)


@pytest.mark.parametrize("weight", [0, 0.5, 3])
def test_guidance_weighs_what_a_condition_changes(liked, weight):
    rec = seqrec.Recommender.from_pretrained(liked / "run")
    given = {"histories": [["t03", "t08"], []], "k": 40, "exclude_seen": False}
    plain, asked, guided = (
        [dict(one) for one in rec.recommend(**given, **more)]
        for more in (
            {},
            {"conditions": {"rating": 5}},
            {"conditions": {"rating": 5}, "guidance": weight},
        )
    )
    ids = sorted(plain[0])
    before, after, found = (
        torch.tensor([one[item] for item in ids], dtype=torch.float64).log_softmax(0)
        for one in (plain[0], asked[0], guided[0])
    )
    expected = (before + weight * (after - before)).log_softmax(0)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
    assert plain[1] == guided[1]  # nothing is known after an empty history


def test_lists_of_data_are_guided_alike(liked, tmp_path):
    asked = {"conditions": {"rating": 5}, "guidance": 2.5, "k": 4}
    seqrec.recommend(
        liked / "run", data=liked / "data", split="all", out=tmp_path / "lists.parquet", **asked
    )
    rows = pl.read_parquet(tmp_path / "lists.parquet").head(8)
    users = rows["user_id"].unique(maintain_order=True).to_list()
    log = pl.read_parquet(liked / "data" / "interactions.parquet")
    names = pl.read_parquet(liked / "data" / "users.parquet")["user_id"].to_list()
    items = pl.read_parquet(liked / "data" / "items.parquet")["item_id"].to_list()
    histories = {
        user: [
            {"item_id": items[row["item"]], "rating": row["rating"]}
            for row in log.filter(pl.col("user") == names.index(user)).iter_rows(named=True)
        ]
        for user in users
    }
    rec = seqrec.Recommender.from_pretrained(liked / "run")
    lists = rec.recommend(histories, **asked)
    for user in users:
        own = rows.filter(pl.col("user_id") == user)["item_id"].to_list()
        assert own == [item for item, _ in lists[user]]


def test_guidance_needs_a_condition_and_a_weight_that_is_a_number(liked):
    rec = seqrec.Recommender.from_pretrained(liked / "run")
    with pytest.raises(SeqRecError, match="guidance: weighs a condition, a plan, or words"):
        rec.recommend([["t03"]], guidance=2)
    for weight in (-1, 101, float("nan")):
        with pytest.raises(SeqRecError, match="from 0 to 100"):
            rec.recommend([["t03"]], conditions={"rating": 5}, guidance=weight)


def test_the_likelihood_of_a_rating_is_learned(liked):
    rec = seqrec.Recommender.from_pretrained(liked / "run")
    ids = [f"t{item:02d}" for item in range(40)]
    histories = [["t03", {"item_id": "t08", "rating": 5}]]
    ((*of_5,),) = rec.likelihood(histories, [ids], "rating", 5)
    ((*of_1,),) = rec.likelihood(histories, [ids], "rating", 1)
    np.testing.assert_allclose(np.add(of_5, of_1), 1, rtol=1e-5)
    assert min(of_5[::2]) > 0.9 and max(of_5[1::2]) < 0.1


def test_a_likelihood_does_not_say_back_what_was_asked_for(tmp_path):
    """Ratings are drawn by a coin, which a wish gives away."""
    log = first_order_world(num_items=20, seed=0).simulate(300, 14, seed=1)
    coin = np.random.default_rng(2).integers(0, 2, len(log))
    seqrec.prepare(log.with_columns(rating=pl.Series(1 + 4 * coin)), out=tmp_path / "data")
    overrides = [*QUICK, "trainer.max_epochs=10", grammar(RATING, WANTED)]
    seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run", overrides=overrides)
    asked = {"history": ["t03", "t08"], "k": 18, "likelihood": ("rating", 5)}
    for given in ({"rating": 5}, {"rating": 1}):
        found = seqrec.recommend(tmp_path / "run", **asked, conditions=given)["recommendations"]
        ids, chances = zip(*((row["item_id"], row["likelihood"]) for row in found), strict=True)
        rec = seqrec.Recommender.from_pretrained(tmp_path / "run")
        assert rec.likelihood([["t03", "t08"]], [ids], "rating", 5) == [list(chances)]
        assert 0.3 < np.mean(chances) < 0.7


def test_the_loss_mixes_titles_and_features_by_their_share():
    model = SeqRecForNextItem(small_config())
    documents = torch.tensor([[1, 1, 1, 1, 2, 2, 0, 0]])
    tokens = torch.tensor([[4, 105, 9, 103, 7, 104, 0, 0]])
    labels = torch.full((1, 8), IGNORE_INDEX)
    labels[0, [1, 3, 5]] = torch.tensor([7, 50, 60])
    features = torch.full((1, 8), IGNORE_INDEX)
    features[0, [0, 4]] = torch.tensor([105, 104])
    weight = (labels != IGNORE_INDEX).float()
    batch = PackedTensors(tokens, documents, labels, weight, 3.0, features, 2.0)
    vocabulary = FeatureVocabulary(first_token=103, size=3)
    found = sft_loss(
        model, batch, loss=catalog_cross_entropy, events=EventsLoss(2, [vocabulary], share=0.25)
    )
    hidden = model.hidden_states(tokens, documents)[0]
    of_titles = -(hidden @ model.item_weight().T).log_softmax(1)
    said = -(hidden @ model.get_input_embeddings().weight[103:106].T).log_softmax(1)
    titles = (of_titles[1, 7] + of_titles[3, 50] + of_titles[5, 60]) / 3
    torch.testing.assert_close(found, 0.75 * titles + 0.25 * (said[0, 2] + said[4, 1]) / 2)


def test_several_targets_stand_a_block_apart():
    model = SeqRecForNextItem(small_config())
    tokens = torch.tensor([[4, 103, 9, 104, 7, 105]])
    labels = torch.tensor([[IGNORE_INDEX, 7, IGNORE_INDEX, 5, IGNORE_INDEX, 50]])
    weight = (labels != IGNORE_INDEX).float()
    batch = PackedTensors(tokens, torch.ones_like(tokens), labels, weight, 3.0)
    events = EventsLoss(2, (), 0.0)
    loss = sft_loss(
        model,
        batch,
        loss=catalog_cross_entropy,
        num_targets=2,
        target_decay=0.5,
        events=events,
    )
    hidden = model.hidden_states(tokens)[0]
    negative = -(hidden @ model.item_weight().T).log_softmax(1)
    by_hand = [(1, 7, 2 / 3), (1, 5, 1 / 3), (3, 5, 2 / 3), (3, 50, 1 / 3), (5, 50, 1)]
    wanted = sum(share * negative[row, item] for row, item, share in by_hand) / 3
    torch.testing.assert_close(loss, wanted)
