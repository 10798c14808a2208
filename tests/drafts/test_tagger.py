"""The tagger in a world where tags follow from features, and its precision by hand."""

import numpy as np
import polars as pl
import pytest
from sklearn.kernel_ridge import KernelRidge

from seqrec.builders.tagger import list_numbers
from seqrec.data.item_table import ItemTable
from seqrec.drafts import tagger as tagger_module
from seqrec.drafts.interaction_vectors import factorize_interactions
from seqrec.drafts.tag_vocabulary import read_tag_vocabulary
from seqrec.drafts.tagger import Block, build_features, fit_tagger, measure_precision
from seqrec.drafts.word_vectors import factorize_words
from seqrec.errors import SeqRecError


def build_world(seed=0, items=160, tags=6):
    """Items on directions of their tags, with noise; tag texts lie on the same directions."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.standard_normal((24, tags)))[0].T
    has_tag = rng.random((items, tags)) < 0.3
    features = has_tag @ directions + 0.1 * rng.standard_normal((items, 24))
    return features, features @ directions.T, has_tag


def test_tags_that_follow_from_features_are_found_on_new_items():
    features, similarities, has_tag = build_world()
    tagged = np.arange(100)
    tagger = fit_tagger(features, similarities, tagged, has_tag[:100])
    new = slice(100, 160)
    best = tagger.scores[new].argmax(axis=1)
    is_right = has_tag[new][np.arange(60), best]
    assert is_right[has_tag[new].any(axis=1)].mean() > 0.97
    confidence = tagger.confidences[new]
    assert confidence[has_tag[new]].mean() > 0.8 > 0.2 > confidence[~has_tag[new]].mean()
    assert not np.any(tagger.neighbours[:100] == np.arange(100)[:, None])


def test_the_regression_is_that_of_another_library_and_few_centres_come_near(monkeypatch):
    features, _, has_tag = build_world(items=300)
    known, asked = np.arange(200), np.arange(200, 300)
    regression = KernelRidge(alpha=0.3, kernel="rbf", gamma=1.0)
    labels = has_tag[:200].astype(float)
    regression.fit(features[:200], labels - labels.mean(axis=0))
    wanted = regression.predict(features[200:]) + labels.mean(axis=0)
    found = tagger_module._ridge(features, known, has_tag[:200], asked, 0.3)
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    monkeypatch.setattr(tagger_module, "MAX_CENTRES", 120)
    fewer = tagger_module._ridge(features, known, has_tag[:200], asked, 0.3)
    assert np.corrcoef(fewer.ravel(), wanted.ravel())[0, 1] > 0.98


def test_blocks_have_their_share_of_the_length():
    rng = np.random.default_rng(0)
    blocks = [Block("a", 7 * np.eye(4), 2.0), Block("b", rng.standard_normal((4, 3)), 1.0)]
    features = build_features(blocks)
    assert np.linalg.norm(features[:, :4], axis=1) == pytest.approx(2 / 5**0.5)
    assert np.linalg.norm(features[:, 4:], axis=1).mean() == pytest.approx(1 / 5**0.5)


def test_precision_is_the_share_of_the_best_five():
    scores = np.array([[6.0, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6]])
    has_tag = np.array([[1, 0, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0]], dtype=bool)
    assert measure_precision(scores, has_tag) == pytest.approx((2 / 5 + 0 / 5) / 2)
    assert measure_precision(scores, has_tag, top=6) == pytest.approx((3 / 6 + 1 / 6) / 2)


def test_vectors_of_interactions_are_those_of_the_whole_decomposition():
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, [30, 20], (200, 2)), axis=0)
    users, items = pairs.T
    dense = np.zeros((30, 20))
    dense[users, items] = 1
    dense /= np.sqrt(dense.sum(axis=1, keepdims=True).clip(1) * dense.sum(axis=0).clip(1))
    found = factorize_interactions(users, items, 30, 20, width=5)
    _, sizes, directions = np.linalg.svd(dense, full_matrices=False)
    expected = (directions.T * sizes)[:, :5]
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)


def test_a_vocabulary_is_read_in_both_forms(tmp_path):
    table = ItemTable.build(pl.DataFrame({"item_id": ["a", "b", "c"]}))
    rows = [("a", "Heist"), ("b", "heist "), ("b", "pixar"), ("c", "pixar"), ("x", "pixar")]
    pl.DataFrame(rows, schema=["item_id", "tag"], orient="row").write_csv(tmp_path / "tags.csv")
    lists = pl.DataFrame(
        {"item_id": ["a", "b", "c"], "tags": [["heist"], ["heist", "pixar"], ["pixar"]]}
    )
    lists.write_ndjson(tmp_path / "tags.jsonl")
    for name in ("tags.csv", "tags.jsonl"):
        found = read_tag_vocabulary(tmp_path / name, table)
        assert found.tags == ["heist", "pixar"] and found.items.tolist() == [0, 1, 2]
        assert found.has_tag.tolist() == [[True, False], [True, True], [False, True]]
    pl.DataFrame({"item_id": ["a"], "tag": ["alone"]}).write_csv(tmp_path / "one.csv")
    with pytest.raises(SeqRecError, match="none of its 1 tags is given to 2 items"):
        read_tag_vocabulary(tmp_path / "one.csv", table)
    with pytest.raises(SeqRecError, match="needs the columns item_id and tag"):
        read_tag_vocabulary(_write_ids(tmp_path / "ids.csv"), table)


def _write_ids(file):
    pl.DataFrame({"item_id": ["a"]}).write_csv(file)
    return file


def test_texts_that_share_rare_words_are_near():
    texts = ["the old thief robs a bank", "a thief opens the bank vault", "a boat on the sea"]
    texts += ["the sea takes the boat", "", "unique"]
    found = factorize_words(texts, width=3)
    near = found @ found.T
    assert near[0, 1] > 0.05 and near[2, 3] > 0.05
    assert abs(near[0, 2]) < 1e-6 and np.abs(found[4:]).max() < 1e-6
    assert factorize_words(["one", "two"], width=3).shape == (2, 1)


@pytest.mark.parametrize(
    ("years", "width"),
    [([1990, None, 2000], 2), ([None, None, None], 1), (["old", "new", "x"], 1), (None, 1)],
)
def test_counts_and_years_are_numbers_whatever_the_column_holds(years, width):
    items = {"item_id": ["a", "b", "c"], **({} if years is None else {"year": years})}
    found = list_numbers(ItemTable.build(pl.DataFrame(items)), np.array([3, 0, 1]))
    assert found.shape == (3, width) and np.isfinite(found).all()
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
