"""``seqrec extend``: new items get rows; old rows and scores stay, in every kind of model."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from transformers import BertConfig, BertModel

import seqrec
from seqrec.data.catalog import catalog_fingerprint, write_items
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.weights import read_weights
from seqrec.ranking.history_reading import find_items
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.growth import grow_tokenizer
from seqrec.tokens.tokenizer import item_token, load_tokenizer, tokenizer_fingerprint
from tests.conftest import small_config
from tests.tiny_language_models import byte_tokenizer, tiny_config

QUICK = [
    "data.max_length=12",
    "model.hidden_size=16",
    "model.intermediate_size=16",
    "model.num_hidden_layers=1",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
]
GENRE = "{name: genre, column: genres, source: item, place: after}"
KINDS = {
    "tied": [],
    "tied, with a prior": ["model.transition_prior={strength: 0.5}"],
    "untied, cosine": ["model.head=untied", "model.cosine_scale=10.0"],
    "an ensemble": ["model.num_members=2"],
    "events": ["data.events={features: [{name: rating, column: rating, place: after}]}"],
    "content": ["model.content={encoder: ENCODER, columns: [title]}"],
    "members with content": [
        "model.num_members=2",
        "model.content={encoder: ENCODER, columns: [title]}",
    ],
}
NUM_OLD = 30
HISTORIES = [["0", "3", "7"], ["12"], []]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A text encoder of bytes with random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(3)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    BertModel(BertConfig(vocab_size=320, num_attention_heads=2, **sizes)).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    log = first_order_world(num_items=NUM_OLD, seed=0).simulate(80, 10, seed=1)
    log = log.with_columns(pl.col("item_id").str.slice(1).cast(pl.Int64).cast(pl.String))
    items = pl.DataFrame({"item_id": [str(i) for i in range(NUM_OLD)]}).with_columns(
        title=pl.format("film {}", "item_id"), genres=pl.lit(["drama"], dtype=pl.List(pl.String))
    )
    folder = tmp_path_factory.mktemp("data") / "data"
    return seqrec.prepare(log, items=items, out=folder)["out"]


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def run(request, data, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    overrides = [*QUICK, *(one.replace("ENCODER", encoder) for one in request.param)]
    return seqrec.train("sft", data=data, out=out, overrides=overrides)["out"]


@pytest.fixture
def plain(data, tmp_path):
    return seqrec.train("sft", data=data, out=tmp_path / "plain", overrides=QUICK)["out"]


NEW = pl.DataFrame(
    {
        "item_id": ["3", "new>1", "日本"],
        "title": ["known", "film 3", "film 29"],
        "neighbours": [None, ["3", "?"], ["7", "12"]],
    },
    schema_overrides={"neighbours": pl.List(pl.String)},
)


def test_old_rows_and_scores_stay_and_new_items_have_scores(run, encoder, tmp_path):
    options = {"encoder": encoder, "columns": ["title"], "out": tmp_path / "extended"}
    result = seqrec.extend(run, items=NEW, **options)
    assert (result["items"], result["new"], result["known"]) == (32, 2, 1)
    old, new = (Recommender.from_pretrained(folder) for folder in (run, result["out"]))
    assert new.item_ids == [*old.item_ids, "new>1", "日本"]
    assert new.titles[30:] == ["film 3", "film 29"]
    assert new.items["num_interactions"].to_list()[30:] == [0, 0]
    assert np.array_equal(new.item_embeddings()[:30], old.item_embeddings())
    assert new.item_embeddings()[30:].any(axis=1).all()
    before, after = read_weights(old.folder), read_weights(new.folder)
    first, second = (load_tokenizer(one.folder).get_vocab() for one in (old, new))
    tokens = [second[word] for word in sorted(first, key=first.__getitem__)]
    for name, weight in before.items():
        if name.endswith("embed_tokens.weight"):
            assert torch.equal(weight[: len(tokens)], after[name][tokens]), name
        elif name.endswith(("head.table.weight", ".content", ".has_row", ".leaving", "larity")):
            assert torch.equal(weight[:NUM_OLD], after[name][:NUM_OLD]), name
        elif not name.endswith(".first_edge"):
            assert torch.equal(weight, after[name]), name
    for histories in ([["0", "3"]], HISTORIES[:2]):
        known, _ = find_items(old.table, histories)
        scores = [one.score_tiles(known)(0, NUM_OLD).numpy() for one in (old, new)]
        np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)
        wide = new.score_tiles(known)(0, 32)
        assert wide.isfinite().all()
    lists = new.recommend([["3", "new>1"], ["日本"]], k=5)
    assert all(len(one) == 5 for one in lists)
    counts = [one.recommend([[]], k=3) for one in (old, new)]
    assert counts[0] == counts[1]


def test_a_model_over_a_language_models_decoder_grows_with_its_tokenizer(tmp_path):
    ids = [f"t{item}" for item in range(60)]
    tokenizer = grow_tokenizer(byte_tokenizer(), list(map(item_token, ids))).tokenizer
    tokenizer = grow_tokenizer(tokenizer, ["<mood:calm>"]).tokenizer
    tokenizer.unk_token = "<|im_start|>"
    backbone = tiny_config("gemma3", vocab_size=320)
    config = small_config(
        backbone_config=backbone,
        num_items=60,
        padded_num_items=64,
        first_item_token=259,
        catalog_fingerprint=catalog_fingerprint(ids),
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
    )
    SeqRecForNextItem(config).save_pretrained(tmp_path / "old")
    tokenizer.save_pretrained(tmp_path / "old")
    items = pl.DataFrame({"item": range(60), "item_id": ids})
    write_items(items, np.arange(60), tmp_path / "old" / "items.parquet")
    new = pl.DataFrame({"item_id": ["t3", "n1", "n2"], "neighbours": ["", "t3|t4", "t5"]})
    result = seqrec.extend(tmp_path / "old", items=new, out=tmp_path / "new")
    assert (result["new"], result["tokens"]) == (2, 322)
    first, second = (Recommender.from_pretrained(tmp_path / name) for name in ("old", "new"))
    known, _ = find_items(first.table, [["t3", "t9"], ["t59"]])
    scores = [one.score_tiles(known)(0, 60).numpy() for one in (first, second)]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)
    vectors = second.item_embeddings()
    assert np.array_equal(vectors[:60], first.item_embeddings())
    np.testing.assert_allclose(vectors[60], vectors[3:5].mean(axis=0), atol=1e-6)
    grown = load_tokenizer(tmp_path / "new")
    text = "calm <item:n2>, <mood:calm>"
    words = grown.convert_ids_to_tokens(grown(text)["input_ids"])
    assert words[-1] == "<mood:calm>" and "<item:n2>" in words
    assert grown.decode(grown(text)["input_ids"]) == text
    rows = [read_weights(one.folder)["backbone.embed_tokens.weight"] for one in (first, second)]
    moods = [one.get_vocab()["<mood:calm>"] for one in (tokenizer, grown)]
    assert moods == [319, 321] and torch.equal(rows[0][319], rows[1][321])
    assert second.model.config.backbone_config.num_tokens == 322


def test_items_with_named_neighbours_start_from_their_mean(plain, tmp_path):
    result = seqrec.extend(plain, items=NEW, out=tmp_path / "m", rows="neighbours")
    vectors = Recommender.from_pretrained(result["out"]).item_embeddings().astype(np.float64)
    ids = Recommender.from_pretrained(result["out"]).item_ids
    row = {item_id: vectors[number] for number, item_id in enumerate(ids)}
    np.testing.assert_allclose(row["new>1"], row["3"], atol=1e-7)
    np.testing.assert_allclose(row["日本"], (row["7"] + row["12"]) / 2, atol=1e-7)


def test_items_from_text_start_from_the_ten_nearest(plain, encoder, tmp_path):
    from seqrec.models.text_encoder import TextEncoder

    items = NEW.drop("neighbours").vstack(
        pl.DataFrame({"item_id": ["mute"], "title": [None]}, schema=NEW.drop("neighbours").schema)
    )
    options = {"encoder": encoder, "columns": ["title"]}
    result = seqrec.extend(plain, items=items, out=tmp_path / "m", **options)
    assert result["rows"] == "text" and result["new"] == 3
    new = Recommender.from_pretrained(result["out"])
    vectors = new.item_embeddings().astype(np.float64)
    texts = TextEncoder.from_pretrained(encoder).encode(new.titles[:32])
    for row in (30, 31):
        nearest = np.argsort(-(texts[:30] @ texts[row]), kind="stable")[:10]
        np.testing.assert_allclose(vectors[row], vectors[nearest].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(vectors[32], vectors[:30].mean(axis=0), atol=1e-6)


def test_a_file_of_known_items_gives_the_same_model_again(plain, tmp_path):
    file = tmp_path / "items.csv"
    file.write_text("item_id,title\n3,x\n7,y\n")
    result = seqrec.extend(plain, items=file, out=tmp_path / "same")
    assert (result["new"], result["known"]) == (0, 2)
    old, new = (Recommender.from_pretrained(one) for one in (plain, result["out"]))
    assert np.array_equal(old.item_embeddings(), new.item_embeddings())
    assert new.item_ids == old.item_ids and new.titles == old.titles
    assert old.recommend([["3", "7"]]) == new.recommend([["3", "7"]])


def test_an_extended_model_extends_again_and_goes_on_training(plain, data, tmp_path):
    first = seqrec.extend(plain, items=NEW, out=tmp_path / "first")["out"]
    more = pl.DataFrame({"item_id": ["40"], "neighbours": ["new>1|3"]})
    second = seqrec.extend(first, items=more, out=tmp_path / "second")["out"]
    new = Recommender.from_pretrained(second)
    assert new.item_ids[30:] == ["new>1", "日本", "40"]
    log = pl.DataFrame(
        {"user_id": ["a", "a", "a", "b", "b", "b"], "item_id": ["3", "40", "new>1"] * 2}
    ).with_columns(timestamp=pl.int_range(1_000, 1_006), rating=pl.lit(4.0))
    later = shutil.copytree(data, tmp_path / "later")
    seqrec.prepare(log, append=True, to=later)
    settings = ["trainer.max_epochs=1", "trainer.accelerator=cpu"]
    run = seqrec.train(
        "sft",
        data=later,
        out=tmp_path / "run",
        overrides=[*settings, f"model.from_pretrained={second}"],
    )["out"]
    went_on = Recommender.from_pretrained(run)
    assert {"40", "new>1"} < set(went_on.item_ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "best"}, "--rows best: choose from"),
        ({"rows": "content"}, "--rows content: plain reads no content; use text"),
        ({"rows": "neighbours", "items": NEW.drop("neighbours")}, "has no column 'neighbours'"),
        (
            {"items": NEW.with_columns(neighbours=pl.lit("?"))},
            "item new>1: none of its 1 neighbours",
        ),
        ({"columns": ["plot"], "rows": "text"}, "no column 'plot'"),
        ({"items": "missing.csv"}, "missing.csv"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(plain, tmp_path, options, message):
    with pytest.raises(SeqRecError, match=message) as caught:
        seqrec.extend(plain, **{"items": NEW, "out": tmp_path / "m", **options})
    assert "\n" not in str(caught.value) and not (tmp_path / "m").exists()


def test_content_needs_the_encoder_of_the_training(data, encoder, tmp_path):
    overrides = [*QUICK, f"model.content={{encoder: {encoder}, columns: [title]}}"]
    run = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=overrides)["out"]
    options = {"items": NEW, "out": tmp_path / "m", "encoder": encoder}
    with pytest.raises(SeqRecError, match="do not give the content of run"):
        seqrec.extend(run, columns=["title", "item_id"], **options)
    with pytest.raises(SeqRecError, match="--rows text: run reads content; use content"):
        seqrec.extend(run, rows="text", **options)


def test_the_verb_prints_one_line_and_json(plain, tmp_path, capsys):
    from seqrec.cli import main

    file = tmp_path / "new.csv"
    file.write_text("item_id,neighbours\n99,3|7\n")
    for as_json in ([], ["--json"]):
        out = str(tmp_path / f"m{len(as_json)}")
        with pytest.raises(SystemExit) as ended:
            main(["extend", plain, "--items", str(file), "--out", out, *as_json])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        if as_json:
            assert json.loads(shown)["new"] == 1
        else:
            assert shown.startswith("1 new items, vectors from neighbours")
