"""The baseline of content, by hand."""

import numpy as np
import pytest
from transformers import BertConfig, BertModel

import seqrec
from seqrec.baselines.nearest_text import NearestText
from seqrec.errors import SeqRecError
from seqrec.tokens.tokenizer import build_tokenizer

VECTORS = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [0.0, 0.0]])


def test_items_are_ordered_by_cosine_with_the_mean_of_the_last_ones():
    ranker = NearestText(VECTORS, num_last=2)
    scores = ranker.score_tiles([np.array([1, 0, 0]), np.array([2]), np.array([], int)])(0, 4)
    half = 0.5**0.5
    assert scores.tolist() == [
        pytest.approx([1, 0, half, 0]),
        pytest.approx([half, half, 1, 0]),
        [0, 0, 0, 0],
    ]


@pytest.fixture
def encoder(tmp_path):
    folder = tmp_path / "encoder"
    config = BertConfig(
        vocab_size=40,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    BertModel(config).save_pretrained(folder)
    build_tokenizer([str(n) for n in range(30)]).save_pretrained(folder)
    return folder


def test_it_stands_in_a_table_by_its_name(encoder, tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    (log / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n"
        + "".join(f"{u},{i},5,{i}\n" for u in range(6) for i in range(1, 6))
    )
    (log / "movies.csv").write_text(
        "movieId,title,genres\n" + "".join(f"{i},Film {i},Drama|War\n" for i in range(1, 6))
    )
    data = seqrec.prepare(log, out=tmp_path / "data")["out"]
    result = seqrec.evaluate([f"nearest-text:encoder={encoder}"], data=data, k=2)
    assert result["rows"][0]["system"] == "nearest-text"
    settings = {"encoder": str(encoder), "columns": "title+genres", "num_last": 10}
    assert result["baselines"][0]["settings"] == settings
    of_titles = f"nearest-text:encoder={encoder},columns=title"
    (row,) = seqrec.evaluate([of_titles], data=data, k=2)["rows"]
    assert row["system"] == "nearest-text"
    with pytest.raises(SeqRecError, match="nearest-text: columns: the items have no column 'plot'"):
        seqrec.evaluate([f"{of_titles}+plot"], data=data, k=2)
    with pytest.raises(SeqRecError, match="text encoder nowhere"):
        seqrec.evaluate(["nearest-text:encoder=nowhere"], data=data, k=2)
