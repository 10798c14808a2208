"""Models with two heads: one folder, which transformers reads, and more items tomorrow."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import seqrec
from seqrec import Recommender
from seqrec.errors import SeqRecError
from seqrec.models.folder import load_model
from seqrec.models.two_heads import HEAD_FILE, HEAD_WEIGHTS, as_language_model
from seqrec.ranking.history_reading import find_items
from seqrec.tokens.tokenizer import item_token, load_tokenizer
from tests.conftest import save_small_model
from tests.families import FAMILIES
from tests.two_heads import IDS, write_two_headed

HEADS = ("tied", "untied", "projected")


def open_words(folder):
    load = AutoModelForCausalLM.from_pretrained
    return load(folder, trust_remote_code=False, dtype=torch.float32).eval()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_reads_the_folder_and_both_heads_answer_alike(family, head, tmp_path):
    folder = write_two_headed(tmp_path / "model", family, head)
    plain, model = open_words(folder), load_model(folder)
    assert (folder / HEAD_WEIGHTS).is_file() == (head != "tied")
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokens = torch.tensor([tokenizer(f"I liked {item_token(IDS[3])}, so")["input_ids"]])
    words = as_language_model(model, load_tokenizer(folder))
    with torch.no_grad():
        expected = plain(input_ids=tokens).logits
        torch.testing.assert_close(words(input_ids=tokens).logits, expected, atol=1e-5, rtol=1e-4)
        states = plain.base_model(input_ids=tokens).last_hidden_state
        by_hand = model.head.project(states[:, -1]) @ model.item_weight().T
        torch.testing.assert_close(model(tokens).logits, by_hand, atol=1e-5, rtol=1e-4)
        options = {"max_new_tokens": 12, "do_sample": False}
        made = [one.generate(tokens, **options) for one in (plain, words)]
    assert torch.equal(*made) and int(made[0].max()) < len(tokenizer)
    suppressed = plain.generation_config.suppress_tokens
    assert suppressed == list(range(len(tokenizer), plain.config.vocab_size))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", ["smollm", "llama"])
def test_new_items_get_rows_in_every_table_and_old_ones_stay(family, head, tmp_path):
    """SmolLM ties the word head to the input rows; Llama has one of its own."""
    old = write_two_headed(tmp_path / "old", family, head)
    new = pl.DataFrame(
        {"item_id": ["t3", "n 1", "n2"], "title": ["", "A", "B"], "neighbours": ["", "t3|t4", "t5"]}
    )
    result = seqrec.extend(old, items=new, out=tmp_path / "new")
    assert result["new"] == 2
    first, second = (Recommender.from_pretrained(one) for one in (old, tmp_path / "new"))
    tables = []
    for one in (first, second):
        words = open_words(one.folder)
        tables.append([words.get_input_embeddings().weight, words.get_output_embeddings().weight])
    start = first.model.config.first_item_token
    for before, after in zip(*tables, strict=True):
        assert torch.equal(before[: start + 30], after[: start + 30])
        mean = before[start + 3 : start + 5].mean(dim=0)
        torch.testing.assert_close(after[start + 30], mean, atol=1e-6, rtol=0)
        assert torch.equal(after[start + 31], before[start + 5])
        assert not after[start + 32 :].any()
    known, _ = find_items(first.table, [["t3", "t9"], ["日本 🎬"]])
    scores = [one.score_tiles(known)(0, 30).numpy() for one in (first, second)]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)
    text = f"I liked {item_token('n 1')} and {item_token('t3')}"
    assert second.texts.tokenizer(text)["input_ids"].count(start + 30) == 1
    ids = [item_id for item_id, _ in second.recommend(text=text, k=32)[0]]
    assert len(ids) == 30 and not {"n 1", "t3"} & set(ids)
    own = f"I liked {item_token('t3')}"
    lists = [dict(one.recommend(text=own, k=32)[0]) for one in (first, second)]
    for item_id, score in lists[0].items():
        assert lists[1][item_id] == pytest.approx(score, abs=1e-5)
    assert seqrec.verify(tmp_path / "new", histories=20)["passed"]


def test_new_items_start_from_their_words(tmp_path):
    """Old items that rows and words tell apart teach what a new title's words mean."""
    old = write_two_headed(tmp_path / "old", "llama", "untied")
    titles = [f"Film {item_id}" for item_id in (IDS[3], IDS[20])]
    new = pl.DataFrame({"item_id": ["n1", "n2", "n3"], "title": [*titles, ""]})
    options = {"rows": "words", "columns": ["title"]}
    seqrec.extend(old, items=new, out=tmp_path / "new", **options)
    first, second = (Recommender.from_pretrained(one) for one in (old, tmp_path / "new"))
    before, after = first.item_embeddings(), second.item_embeddings()
    assert np.array_equal(after[:30], before)
    nearest = ((after[30:32, None] - before) ** 2).sum(axis=2).argmin(axis=1)
    assert nearest.tolist() == [3, 20]
    np.testing.assert_allclose(after[32], before.mean(axis=0), atol=1e-5)
    plain = save_small_model(tmp_path / "plain")
    with pytest.raises(SeqRecError, match="--rows words: plain is no language model; use text"):
        seqrec.extend(plain, items=new, out=tmp_path / "none", **options)


def test_broken_parts_of_the_folder_are_one_line(tmp_path):
    folder = write_two_headed(tmp_path / "model", head="untied")
    kept = (folder / HEAD_WEIGHTS).read_bytes()
    (folder / HEAD_WEIGHTS).write_bytes(kept[:100])
    with pytest.raises(SeqRecError, match=r"catalog_head.safetensors: is missing, broken or cut"):
        Recommender.from_pretrained(folder)
    (folder / HEAD_WEIGHTS).write_bytes(kept)
    fields = json.loads((folder / HEAD_FILE).read_text())
    for changes, cause in (
        ({"num_items": 10**12}, "the weights have no such size"),
        ({"num_items": 5000}, "num_items 5000 from first_item_token"),
        ({"head": "tied"}, "come from different models|has shape"),
        ({"catalog_fingerprint": "0"}, "not the catalog"),
    ):
        (folder / HEAD_FILE).write_text(json.dumps({**fields, **changes}))
        with pytest.raises(SeqRecError, match=cause):
            Recommender.from_pretrained(folder)
    (folder / HEAD_FILE).write_text("{")
    with pytest.raises(SeqRecError, match="catalog_head.json"):
        Recommender.from_pretrained(folder)
