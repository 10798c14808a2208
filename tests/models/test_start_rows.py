"""Rows that new words start from: a least-squares map against NumPy's, and its recipe source."""

import numpy as np
import polars as pl
import pytest
import torch

from seqrec.builders.start_rows import build_start_rows
from seqrec.errors import SeqRecError
from seqrec.models.growth import grow_vocabulary
from seqrec.models.start_rows import mapped_rows, mean_rows, predicted_rows
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.tokenizer import item_token
from tests.conftest import save_small_model
from tests.tiny_language_models import byte_tokenizer, tiny_language_model

ITEMS = pl.DataFrame(
    {"item_id": [f"t{n}" for n in (5, 7, 99, 0)] + ["new"], "title": [*"abcd", "ab"]}
)


def test_vectors_that_are_an_affine_image_of_the_anchors_map_onto_them(generator):
    table = torch.from_numpy(generator.normal(size=(40, 6))).float()
    texts = [[n, (n + 3) % 40] for n in range(40)]
    anchors = mean_rows(texts)(table)
    mixing = torch.from_numpy(generator.normal(size=(6, 6))).float()
    vectors = anchors @ mixing + 2.0
    vectors[7] = 0
    mapped = mapped_rows(vectors, mean_rows(texts))(table)
    torch.testing.assert_close(mapped, anchors, atol=1e-4, rtol=1e-4)


def test_a_map_that_explains_little_keeps_direction_and_the_spread_of_the_anchors(generator):
    vectors = generator.normal(size=(300, 4))
    table = torch.from_numpy(generator.normal(size=(300, 5)) + vectors[:, :1]).float()
    texts = [[n] for n in range(300)]
    mapped = mapped_rows(torch.from_numpy(vectors).float(), mean_rows(texts))(table).numpy()
    design = np.column_stack([vectors, np.ones(300)])
    fitted = design @ np.linalg.lstsq(design, table.double().numpy(), rcond=None)[0]
    for unit in range(5):
        assert np.corrcoef(mapped[:, unit], fitted[:, unit])[0, 1] > 0.9999
    np.testing.assert_allclose(mapped.std(axis=0), table.numpy().std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(mapped.mean(axis=0), table.numpy().mean(axis=0), atol=1e-5)


def test_items_start_from_their_words_or_from_another_models_vectors(tmp_path):
    folder = save_small_model(tmp_path / "model")
    vectors = torch.from_numpy(Recommender.from_pretrained(folder).item_embeddings())
    vectors = torch.cat([vectors[[5, 7, 99, 0]], torch.zeros(1, 32)])
    tokenizer = byte_tokenizer()
    letters = [tokenizer(text)["input_ids"] for text in ITEMS["title"]]
    for source in ("text", str(folder)):
        model = tiny_language_model("llama")
        start = build_start_rows(source, tokenizer, ITEMS, ["title"], "model.initial_vectors")
        grown = grow_vocabulary(model, tokenizer, list(map(item_token, ITEMS["item_id"])), start)
        table = model.get_input_embeddings().weight.detach()
        means = torch.stack([table[text].mean(dim=0) for text in letters])
        rows = table[grown.tokens.start : grown.tokens.stop]
        torch.testing.assert_close(rows[4], means[4])  # the model of the folder lacks it
        expected = means if source == "text" else mapped_rows(vectors, lambda _: means)(table)  # noqa: B023
        torch.testing.assert_close(rows, expected)


def test_a_model_of_other_items_is_refused(tmp_path):
    folder = save_small_model(tmp_path / "model")
    other = ITEMS.with_columns(item_id=pl.concat_str(pl.lit("x"), "item_id"))
    with pytest.raises(SeqRecError, match="model.initial_vectors=.*: has none of the 5 items"):
        build_start_rows(str(folder), byte_tokenizer(), other, ["title"], "model.initial_vectors")


def test_rows_are_predicted_by_a_ridge_regression_at_the_spread_of_the_old(generator):
    """The penalty is rows of a design for least squares, whose targets are 0."""
    old, new = generator.normal(size=(50, 4)), generator.normal(size=(6, 4))
    table = old @ generator.normal(size=(4, 3)) + 0.1 * generator.normal(size=(50, 3)) + 2
    old[9] = new[2] = 0
    known, rows = np.delete(old, 9, axis=0), np.delete(table, 9, axis=0)
    centred, wanted = known - known.mean(axis=0), rows - rows.mean(axis=0)
    strength = np.sqrt((centred**2).sum(axis=0).mean())
    design = np.vstack([centred, strength * np.eye(4)])
    weight = np.linalg.lstsq(design, np.vstack([wanted, np.zeros((4, 3))]), rcond=None)[0]
    scale = wanted.std(axis=0) / (centred @ weight).std(axis=0)
    expected = rows.mean(axis=0) + (new - known.mean(axis=0)) @ weight * scale
    expected[2] = table.mean(axis=0)
    given = (torch.from_numpy(part).float() for part in (old, new))
    found = predicted_rows(*given)(torch.from_numpy(table).float())
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)
    nothing = predicted_rows(torch.zeros(50, 4), torch.ones(2, 4))(torch.from_numpy(table).float())
    np.testing.assert_allclose(nothing.numpy(), np.tile(table.mean(axis=0), (2, 1)), atol=1e-5)
