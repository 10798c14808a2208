"""Search by the verbs, in a world where a word decides the next item."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import seqrec
from seqrec.builders.named_models import open_recommender
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import build_queries
from seqrec.models.text_encoder import TextEncoder
from seqrec.onnx.folder import open_onnx
from seqrec.ranking.text_fusion import TextFusion
from seqrec.search.requests.synthesis import is_held_out

TAGS = [word for word in ("red", "blue", "green", "gold", "grey", "pink") if not is_held_out(word)]
TAGS = TAGS[:3]
NUM_STEPS, NUM_USERS = 13, 900
WORDS = ["[PAD]", "[UNK]", "Film", *TAGS, *map(str, range(NUM_STEPS * len(TAGS)))]
QUICK = [
    "data.max_length=20",
    "data.batch_size=4",
    "trainer.warmup_steps=10",
    "trainer.learning_rate=0.005",
    "trainer.max_epochs=14",
    "trainer.patience=14",
    "objective.requests_per_item=6",
    "objective.request_share=1.0",
    "objective.content=false",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The folder of a small encoder with random weights: no two texts are near by meaning."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    words = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"vocab_size": 64, "intermediate_size": 16, "initializer_range": 0.5}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tag of an item says how many steps further the next item is, and nothing says its tag."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("world")
    log = []
    for user in range(NUM_USERS):
        step, length = rng.integers((0, 4), (NUM_STEPS, 8))
        for time in range(length):
            tag = rng.integers(len(TAGS))
            log.append((f"u{user}", f"{step}-{tag}", time))
            step = (step + 1 + tag) % NUM_STEPS
    items = pl.DataFrame(
        {
            "item_id": [f"{step}-{tag}" for step in range(NUM_STEPS) for tag in range(len(TAGS))],
            "title": [f"Film {number}" for number in range(NUM_STEPS * len(TAGS))],
            "tags": [[tag] for _ in range(NUM_STEPS) for tag in TAGS],
        }
    )
    frame = pl.DataFrame(log, ["user_id", "item_id", "timestamp"], orient="row")
    seqrec.prepare(frame, items=items, out=folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def start(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("start") / "run"
    overrides = [one for one in QUICK if not one.startswith("objective")]
    overrides += ["model.hidden_size=32", "model.dropout=0.0", "trainer.max_epochs=8"]
    seqrec.train("sft", data=world, out=out, overrides=overrides)
    return out


@pytest.fixture(scope="module")
def run(world, start, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("search") / "run"
    overrides = [*QUICK, f"objective.encoder={encoder}", f"model.from_pretrained={start}"]
    seqrec.train("search", data=world, out=out, overrides=overrides)
    return out


def ask(run, world, encoder, weights=()):
    """Return recall@1 on test, with the target's tag as request: by the token, or by fusion."""
    prepared = PreparedData.open(world)
    recommender = open_recommender(run, prepared)
    queries = build_queries(prepared.histories(), "test", prepared.targets)
    tags = prepared.items()["tags"].list.first().to_list()
    texts = [f"something {tags[target[0]]}" for target in queries.targets]
    vectors = TextEncoder.from_pretrained(encoder).encode(texts)
    targets = np.array([target[0] for target in queries.targets])
    if not weights:
        ranked = recommender.rank_with_requests(queries.histories, vectors, 1)
        return float((ranked.items[:, 0].numpy() == targets).mean())
    titles = TextEncoder.from_pretrained(encoder).encode(prepared.items()["title"].to_list())
    shares = []
    for weight in weights:
        hits = [
            int(TextFusion(recommender, titles, vector, weight).rank([history], 1).items[0, 0])
            for history, vector in zip(queries.histories[:150], vectors, strict=False)
        ]
        shares.append(float((np.array(hits) == targets[:150]).mean()))
    return max(shares)


def test_a_trained_request_comes_near_the_optimum_and_fusion_cannot(run, start, world, encoder):
    """History and word together name the next item; without the word one in three is right."""
    queries = build_queries(PreparedData.open(world).histories(), "test", "last")
    pairs = zip(queries.histories, queries.targets, strict=True)
    best = np.mean([target[0] not in history for history, target in pairs])
    assert best > 0.95 and ask(run, world, encoder) > best - 0.04
    assert ask(start, world, encoder, weights=(0.0, 3.0, 10.0, 30.0)) < 0.45


def test_histories_without_a_request_are_answered_bit_for_bit_as_by_the_start(run, start):
    histories = [["3-0", "4-1", "5-2"], ["1-1"], []]
    lists = [seqrec.Recommender.from_pretrained(one).recommend(histories) for one in (run, start)]
    assert lists[0] == lists[1]


def test_the_metrics_compare_with_late_fusion(run):
    metrics = json.loads((run / "metrics.json").read_text())
    found, fusion = metrics["validation"], metrics["details"]["late_fusion"]
    assert found["request_recall@10"] > 0.85
    assert found["request_ndcg@10"] > fusion["request_ndcg@10"] + 0.1
    mean = (found["request_ndcg@10"] + found.get("new_tag_ndcg@10", found["request_ndcg@10"])) / 2
    assert found["search_ndcg@10"] == pytest.approx(mean)
    assert metrics["details"]["requests"]["training"] > 0


def test_recommend_reads_the_request_and_an_index_lists_the_same(run, world, encoder, tmp_path):
    history = ["3-0", "4-1", "5-2"]
    answer = seqrec.recommend(run, history=history, text=f"maybe something {TAGS[2]}, surely", k=3)
    plain = seqrec.recommend(run, history=history, k=3)
    assert plain["recommendations"] != answer["recommendations"]
    seqrec.export(run, to="faiss-flat", out=tmp_path / "index")
    flat = tmp_path / "index" / "items" / "flat"
    for text, guidance in (("shining", 1.0), (f"something {TAGS[1]}ish", 1.0), ("shining", 3.0)):
        asked = {"history": history, "text": text, "k": 5, "guidance": guidance}
        exact, indexed = (
            seqrec.recommend(run, **asked, index=index)["recommendations"] for index in (None, flat)
        )
        assert [row["item_id"] for row in exact] == [row["item_id"] for row in indexed]
        np.testing.assert_allclose(
            [row["score"] for row in exact], [row["score"] for row in indexed], rtol=1e-4
        )


def test_the_weight_of_soft_words_goes_from_the_history_to_the_words(run):
    history, text = ["3-0", "4-1", "5-2"], "glimmering"
    found = {
        weight: seqrec.recommend(run, history=history, text=text, guidance=weight, k=39)
        for weight in (0.0, 1.0, 2.0)
    }
    scores = {
        weight: {row["item_id"]: row["score"] for row in answer["recommendations"]}
        for weight, answer in found.items()
    }
    plain = seqrec.recommend(run, history=history, k=39)["recommendations"]
    assert [row["item_id"] for row in plain] == list(scores[0.0])
    for item_id, score in scores[2.0].items():
        middle = (scores[0.0][item_id] + score) / 2
        assert scores[1.0][item_id] == pytest.approx(middle, abs=1e-3)


def test_a_weight_of_no_words_is_refused(run):
    for more in ({"text": ""}, {"text": f"like {TAGS[0]}"}, {}):
        with pytest.raises(SeqRecError, match="weighs a condition, a plan, or words"):
            seqrec.recommend(run, history=["3-0"], guidance=2.0, **more)
    with pytest.raises(SeqRecError, match="guidance is 101: from 0 to 100"):
        seqrec.recommend(run, history=["3-0"], text="glimmering", guidance=101)


def test_a_request_without_a_history_is_answered_by_its_words(run):
    answer = seqrec.recommend(run, text="glimmering", k=3)
    assert answer["fallback"] is None and len(answer["recommendations"]) == 3
    nothing = seqrec.recommend(run, text="please", k=3)
    assert nothing["fallback"] is not None


def test_words_go_without_an_index_where_the_model_reads_none(start, tmp_path):
    seqrec.export(start, to="faiss-flat", out=tmp_path / "index")
    with pytest.raises(SeqRecError, match="a model without a query token"):
        seqrec.recommend(start, text="shining", index=tmp_path / "index" / "items" / "flat")


def test_another_encoder_than_the_trained_one_is_refused(run, encoder, tmp_path):
    copied = shutil.copytree(run, tmp_path / "run")
    config = json.loads((copied / "model" / "config.json").read_text())
    config["query_token"]["fingerprint"] = "0" * 64
    (copied / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(SeqRecError, match="not the text encoder that the model's query token"):
        seqrec.recommend(copied, text="glimmering")


def test_training_without_a_trained_model_is_refused(world, encoder, tmp_path):
    overrides = [*QUICK, f"objective.encoder={encoder}"]
    with pytest.raises(SeqRecError, match="model.from_pretrained"):
        seqrec.train("search", data=world, out=tmp_path / "run", overrides=overrides)


def test_a_recommender_in_memory_answers_the_request_for_every_history(run):
    recommender = seqrec.Recommender.from_pretrained(run)
    histories = [["3-0", "4-1"], []]
    lists = recommender.recommend(histories, 3, text="glimmering")
    for history, pairs in zip(histories, lists, strict=True):
        rows = seqrec.recommend(run, history=history, text="glimmering", k=3)["recommendations"]
        assert [item_id for item_id, _ in pairs] == [row["item_id"] for row in rows]
    assert recommender.recommend(k=3, text="glimmering") == lists[1:]
    with pytest.raises(SeqRecError, match="a list of histories"):
        recommender.recommend({"u": ["3-0"]}, text="glimmering")


@pytest.fixture(scope="module")
def described(world, start, encoder, tmp_path_factory):
    """A run whose token compares requests with titles and tags, after one epoch."""
    out = tmp_path_factory.mktemp("described") / "run"
    overrides = [one for one in QUICK if "content" not in one]
    overrides += [f"objective.encoder={encoder}", f"model.from_pretrained={start}"]
    seqrec.train("search", data=world, out=out, overrides=[*overrides, "trainer.max_epochs=1"])
    return out


def test_the_saved_token_knows_titles_and_tags(described, encoder):
    recommender = seqrec.Recommender.from_pretrained(described)
    read = TextEncoder.from_pretrained(encoder)
    titles, tags = recommender.model.query_token.content.split(read.width, dim=1)
    named = recommender.items["title"].to_list(), recommender.items["tags"].list.first().to_list()
    for vectors, texts in zip((titles, tags), named, strict=True):
        np.testing.assert_allclose(vectors, read.encode(texts), atol=1e-5)


def test_an_extended_catalog_is_described_and_old_items_keep_their_scores(described, tmp_path):
    new = pl.DataFrame({"item_id": ["new"], "title": ["Film 3"], "tags": [[TAGS[0]]]})
    seqrec.extend(described, items=new, out=tmp_path / "model", rows="random")
    old, grown = (
        seqrec.Recommender.from_pretrained(one) for one in (described, tmp_path / "model")
    )
    np.testing.assert_array_equal(grown.item_embeddings()[:-1], old.item_embeddings())
    content = grown.model.query_token.content
    same = old.titles.index("Film 3")
    torch.testing.assert_close(content[-1], content[same], rtol=1e-4, atol=1e-5)
    assert not grown.model.query_token.rows[-1].any()


def test_another_encoder_extends_no_catalog(described, tmp_path):
    copied = shutil.copytree(described, tmp_path / "run")
    config = json.loads((copied / "model" / "config.json").read_text())
    config["query_token"]["fingerprint"] = "0" * 64
    (copied / "model" / "config.json").write_text(json.dumps(config))
    new = pl.DataFrame({"item_id": ["new"], "title": ["Film 3"], "tags": [[TAGS[0]]]})
    with pytest.raises(SeqRecError, match="not the text encoder that the model's query token"):
        seqrec.extend(copied, items=new, out=tmp_path / "model", rows="random")


def test_a_long_conversation_after_a_request_is_answered(described):
    """Very long and empty requests are read as far as they go."""
    for text in ("red " * 5_000, "", " ", "?!"):
        answer = seqrec.recommend(described, history=["3-0"], text=text, k=3)
        assert len(answer["recommendations"]) == 3


def test_verify_compares_the_exported_index_of_a_token(described, tmp_path):
    seqrec.export(described, to="faiss-flat", out=tmp_path / "index")
    found = seqrec.verify(described, index=tmp_path / "index" / "items" / "flat", histories=20)
    assert found["passed"], found


def test_a_graph_for_histories_leaves_requests_to_the_model(described, tmp_path):
    seqrec.export(described, to="onnx", out=tmp_path / "onnx")
    systems = seqrec.Recommender.from_pretrained(described), open_onnx(tmp_path / "onnx")
    for text in (None, f"something {TAGS[1]}"):
        lists = [one.recommend([["3-0", "4-1"]], 5, text=text)[0] for one in systems]
        assert [item for item, _ in lists[0]] == [item for item, _ in lists[1]]
