"""Titles known by their content, by the verbs, with the encoder of an installed package."""

import json

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import seqrec
from seqrec.errors import SeqRecError

GENRES = ("Comedy", "Drama")
WORDS = ["[PAD]", "[UNK]", "Film", *GENRES, *map(str, range(10))]
NEW = 9
"""The film of each genre that two people watch last, and nobody before."""


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """A package that carries a small encoder with random weights."""
    folder = tmp_path / "site" / "tiny_encoder" / "model"
    words = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]"
    )
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=32, intermediate_size=16, **sizes)).save_pretrained(folder)
    (folder.parent / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(folder.parents[1])
    return "tiny-encoder"


def film(genre, number):
    return f"{GENRES[genre][0]}{number}"


@pytest.fixture
def log(tmp_path, generator):
    """People of comedies watch no dramas; the last two people end with the new films."""
    rows = []
    for user in range(60):
        watched = [film(user % 2, number) for number in generator.permutation(NEW)]
        watched += [film(user % 2, NEW)] * (user >= 58)
        rows += [(user, item, 5, time) for time, item in enumerate(watched)]
    folder = tmp_path / "log"
    folder.mkdir()
    columns = ["userId", "movieId", "rating", "timestamp"]
    pl.DataFrame(rows, columns, orient="row").write_csv(folder / "ratings.csv")
    films = [
        (film(genre, number), f"Film {number}", GENRES[genre])
        for genre in (0, 1)
        for number in range(10)
    ]
    columns = ["movieId", "title", "genres"]
    pl.DataFrame(films, columns, orient="row").write_csv(folder / "movies.csv")
    return folder


@pytest.mark.parametrize("members", [1, 2])
def test_a_title_that_training_never_met_is_recommended_to_whom_it_suits(
    members, log, encoder, tmp_path
):
    data = seqrec.prepare(log, out=tmp_path / "data")["out"]
    overrides = [
        f"model.content={{encoder: {encoder}, max_cost: 0.2}}",
        f"model.num_members={members}",
        "model.hidden_size=16",
        "data.max_length=10",
        "data.batch_size=4",
        "trainer.learning_rate=0.01",
        "trainer.max_epochs=8",
    ]
    seqrec.train("sft", data=data, out=tmp_path / "run", overrides=overrides)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["details"]["cold_items"]["number"] == 2
    assert (
        metrics["details"]["cold_items"]["scale"] > 0
        and metrics["details"]["cold_items"]["cost"] <= 0.2
    )
    rec = seqrec.Recommender.from_pretrained(tmp_path / "run")
    counts = dict(zip(rec.item_ids, rec.items["num_interactions"], strict=True))
    for genre in (0, 1):
        assert counts[film(genre, NEW)] == 0
        (found,) = rec.recommend([[film(genre, number) for number in range(8)]], k=2)
        assert {item_id for item_id, _ in found} == {film(genre, 8), film(genre, NEW)}
    baseline = f"nearest-text:encoder={encoder},columns=genres"
    cold = seqrec.evaluate([tmp_path / "run", baseline], data=data, only="cold", k=2)
    assert cold["counts"]["queries"] == 2


def test_a_title_that_comes_after_training_is_recommended_to_whom_it_suits(log, encoder, tmp_path):
    """Training meets every title; what content says of later ones is learned all the same."""
    ratings = pl.read_csv(log / "ratings.csv").filter(~pl.col("movieId").str.ends_with(str(NEW)))
    ratings.write_csv(tmp_path / "log.csv")
    films = pl.read_csv(log / "movies.csv")
    is_new = pl.col("movieId").str.ends_with(str(NEW))
    data = seqrec.prepare(tmp_path / "log.csv", items=films.filter(~is_new), out=tmp_path / "data")
    run = seqrec.train(
        "sft",
        data=data["out"],
        out=tmp_path / "run",
        overrides=[
            f"model.content={{encoder: {encoder}}}",
            "model.hidden_size=16",
            "data.max_length=10",
            "data.batch_size=4",
            "trainer.learning_rate=0.01",
            "trainer.max_epochs=8",
        ],
    )
    assert "cold_items" not in run["details"]
    films.filter(is_new).rename({"movieId": "item_id"}).write_csv(tmp_path / "new.csv")
    extended = seqrec.extend(
        run["run"], items=tmp_path / "new.csv", out=tmp_path / "extended", encoder=encoder
    )
    rec = seqrec.Recommender.from_pretrained(extended["out"])
    for genre in (0, 1):
        (found,) = rec.recommend([[film(genre, number) for number in range(8)]], k=20)
        places = [item_id for item_id, _ in found]
        assert places.index(film(genre, NEW)) < places.index(film(1 - genre, NEW))


def test_titles_that_nobody_watched_are_left_out_until_content_speaks_for_them(
    log, encoder, tmp_path
):
    """Scores of binary losses are below 0, the score of a title of which nothing is known yet."""
    ratings = pl.read_csv(log / "ratings.csv").filter(~pl.col("movieId").str.ends_with(str(NEW)))
    ratings.write_csv(tmp_path / "log.csv")
    options = {"items": log / "movies.csv", "catalog": "all"}
    data = seqrec.prepare(tmp_path / "log.csv", out=tmp_path / "data", **options)["out"]
    overrides = [
        f"model.content={{encoder: {encoder}, max_cost: 0.2}}",
        "objective.loss={name: binary_cross_entropy, num_negatives: 4}",
        "model.hidden_size=16",
        "data.max_length=10",
        "data.batch_size=4",
        "trainer.learning_rate=0.01",
        "trainer.max_epochs=12",
    ]
    seqrec.train("sft", data=data, out=tmp_path / "run", overrides=overrides)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    values = [json.loads(line)["val/ndcg@10"] for line in lines]
    assert len(values) == 12 and min(values[6:]) > 0.5


def test_training_goes_on_with_rows_for_items_that_content_alone_stood_for(log, encoder, tmp_path):
    data = seqrec.prepare(log, out=tmp_path / "data")["out"]
    content = f"model.content={{encoder: {encoder}, max_cost: 0.2}}"
    small = ["data.max_length=10", "data.batch_size=4", "trainer.max_epochs=1"]
    sizes = ["model.hidden_size=16", content]
    run = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=[*small, *sizes])["out"]
    watched = [film(0, NEW), "C10", film(0, 1), film(0, 2)]
    day = pl.DataFrame({"userId": 100, "movieId": watched, "rating": 5, "timestamp": range(4)})
    day.write_csv(tmp_path / "day.csv")
    films = pl.DataFrame({"movieId": ["C10"], "title": ["Film 9"], "genres": [GENRES[0]]})
    seqrec.prepare(tmp_path / "day.csv", append=True, to=data, items=films)
    start = [*small, f"model.from_pretrained={run}", "trainer.learning_rate=1e-9"]
    with pytest.raises(SeqRecError, match="reads content, which 1 new items need.*model.content"):
        seqrec.train("sft", data=data, out=tmp_path / "x", overrides=start)
    seqrec.train("sft", data=data, out=tmp_path / "next", overrides=[*start, content])
    old, new = (seqrec.Recommender.from_pretrained(tmp_path / name) for name in ("run", "next"))
    has_row = new.model.get_input_embeddings().has_row
    assert not old.model.get_input_embeddings().has_row[old.item_ids.index(film(0, NEW))]
    assert has_row[new.item_ids.index(film(0, NEW))] and has_row[new.item_ids.index("C10")]
    assert not has_row[new.item_ids.index(film(1, NEW))]
    known = [film(0, 3), film(0, NEW)]
    vectors = [
        rec.item_embeddings()[[rec.item_ids.index(item_id) for item_id in known]]
        for rec in (old, new)
    ]
    np.testing.assert_allclose(*vectors, rtol=1e-3, atol=1e-5)


def test_content_of_which_nobody_knows_anything_is_refused(log, encoder, tmp_path):
    (log / "movies.csv").unlink()
    data = seqrec.prepare(log / "ratings.csv", out=tmp_path / "data")["out"]
    overrides = [f"model.content={{columns: [title], encoder: {encoder}}}"]
    with pytest.raises(SeqRecError, match="columns: no item has a .title.; prepare with --items"):
        seqrec.train("sft", data=data, out=tmp_path / "run", overrides=overrides)
    assert not list(tmp_path.glob("run*"))
