"""Properties of every baseline: training part, unseen items, ties by popularity, settings."""

import sys

import numpy as np
import pytest

from seqrec.baselines import BASELINES, build_baseline, parse_baseline_text
from seqrec.baselines.settings import baseline_text, default_settings
from seqrec.config.search import BASELINE_SPACES
from seqrec.errors import SeqRecError
from tests.baselines.conftest import histories_of

PERSONAL = [name for name in BASELINES if "popularity" not in name]


@pytest.mark.parametrize("name", BASELINES)
def test_seen_items_are_left_out_and_lists_end_with_the_catalog(name):
    histories = histories_of([[0, 1, 2, 3], [2, 1, 0]])
    ranked = build_baseline(name, histories, 4).rank([np.array([1, 2]), np.arange(4)], 3)
    assert set(ranked.items[0].tolist()) == {0, 3, -1}
    assert ranked.items[1].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("name", BASELINES)
def test_held_out_items_change_no_answer_and_two_fits_are_one(name, random_lists, generator):
    others = [[*items[:-2], *generator.permutation(12)[:2].tolist()] for items in random_lists]
    asked = [np.array(items) for items in random_lists[:20]]
    one, other, again = (
        build_baseline(name, histories_of(lists, num_held_out=1), 12).rank(asked, 5)
        for lists in (random_lists, others, random_lists)
    )
    for ranked in (other, again):
        assert ranked.items.tolist() == one.items.tolist()
        assert ranked.scores.tolist() == one.scores.tolist()


@pytest.mark.parametrize("name", BASELINES)
def test_tiles_and_batches_change_no_list(name, random_lists):
    ranker = build_baseline(name, histories_of(random_lists), 12)
    asked = [np.array(items) for items in random_lists[:20]]
    whole = ranker.rank(asked, 6)
    ranker.tile_items, ranker.batch_size = 5, 7
    parts = ranker.rank(asked, 6)
    assert parts.items.tolist() == whole.items.tolist()
    np.testing.assert_allclose(parts.scores.numpy(), whole.scores.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_who_has_no_history_is_answered_by_popularity(name):
    histories = histories_of([[0, 1], [2, 1], [0, 3], [0, 1]])
    settings = {"recent_share": 1.0} if name == "recent-popularity" else {}
    ranked = build_baseline(name, histories, 5, settings).rank([np.array([], int)], 3)
    if name == "bpr":
        assert ranked.items[0, 0] in (0, 1)
    else:
        assert ranked.items.tolist() == [[0, 1, 2]]


def build_block_histories(generator, num_blocks=3, block_items=20):
    """Histories of 150 users, each with a share of one block's items."""
    blocks = np.arange(num_blocks * block_items).reshape(num_blocks, block_items)
    return blocks, [
        generator.permutation(blocks[user % num_blocks])[:12].tolist() for user in range(150)
    ]


@pytest.mark.parametrize("name", PERSONAL)
def test_recommendations_are_of_the_users_block(name, generator):
    blocks, lists = build_block_histories(generator)
    settings = {"factors": 8, "regularization": 1.0} if name == "als" else {}
    ranker = build_baseline(name, histories_of(lists), blocks.size, settings)
    asked = [generator.permutation(block)[:5] for block in blocks]
    for block, items in zip(blocks, ranker.rank(asked, 10).items.tolist(), strict=True):
        assert set(items) <= set(block.tolist())


@pytest.mark.parametrize("name", BASELINES)
def test_a_search_space_holds_settings_and_their_defaults(name):
    defaults = default_settings(BASELINES[name])
    space = BASELINE_SPACES.get(name, {})
    assert set(space) <= set(defaults)
    assert bool(space) == bool(defaults)
    for key, values in space.items():
        known = values if isinstance(values, list) else (values.low, values.high)
        assert {type(value) for value in known} == {type(defaults[key])}
        build_baseline(name, histories_of([[0, 1]]), 2, {key: known[0], **_quick(defaults)})
        is_member = values.contains(defaults[key]) if not isinstance(values, list) else True
        assert is_member, key


def _quick(defaults):
    return {"iterations": 1} if "iterations" in defaults else {}


def test_a_name_holds_settings():
    named = parse_baseline_text("item-knn:num_neighbours=50,history_decay=.9")
    assert named == ("item-knn", {"num_neighbours": 50, "history_decay": 0.9})
    assert parse_baseline_text("ease") == ("ease", {})
    for name, builder in BASELINES.items():
        settings = default_settings(builder)
        assert parse_baseline_text(baseline_text(name, settings)) == (name, settings)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("popular", "choose from popularity"),
        ("ease:l3=4", "no setting 'l3'; known here: l2, history_decay"),
        ("popularity:k=4", "it has none"),
        ("item-knn:num_neighbours=1.5", "write a whole number"),
        ("item-knn:num_neighbours=0", "at least 1"),
        ("ease:l2", "write a number"),
        ("ease:l2=-1", "at least 0"),
        ("ease:l2=nan", "at least 0"),
        ("ease:history_decay=1.5", "at most 1"),
    ],
)
def test_a_wrong_name_or_setting_is_named(text, named):
    with pytest.raises(SeqRecError, match=named):
        parse_baseline_text(text)


@pytest.mark.parametrize("name", ["als", "bpr"])
def test_without_implicit_the_extra_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit.recommender_base", None)
    with pytest.raises(SeqRecError, match=r"seqrec\[baselines\]"):
        build_baseline(name, histories_of([[0, 1]]), 2)
