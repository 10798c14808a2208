"""Sequential rules against loops over all pairs, and counts by hand."""

import numpy as np
import pytest

from seqrec.baselines import build_baseline
from seqrec.baselines.rules import scaled_rarity, sequential_rules
from seqrec.errors import SeqRecError
from tests.baselines.conftest import histories_of

NUM_ITEMS = 12
WEIGHTS = {"inverse": lambda d: 1 / d, "logarithmic": lambda d: 1 / np.log10(d + 1.7)}


@pytest.mark.parametrize("distances", WEIGHTS)
@pytest.mark.parametrize(("max_steps", "history_items", "exponent"), [(1, 1, 1.0), (10, 4, 2.0)])
def test_rules_equal_loops_over_users_and_items(
    random_lists, distances, max_steps, history_items, exponent
):
    rules = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for items in random_lists:
        for i, source in enumerate(items):
            for distance, target in enumerate(items[i + 1 : i + 1 + max_steps], 1):
                rules[source, target] += WEIGHTS[distances](distance)
    ranker = sequential_rules(
        histories_of(random_lists),
        NUM_ITEMS,
        max_steps=max_steps,
        distances=distances,
        history_items=history_items,
        history_exponent=exponent,
    )
    actual = ranker.score_tiles([np.array(items) for items in random_lists])(0, NUM_ITEMS).numpy()
    expected = [
        sum(
            rules[item] / place**exponent
            for place, item in enumerate(reversed(items[-history_items:]), 1)
        )
        for items in random_lists
    ]
    np.testing.assert_allclose(actual, expected, atol=2e-9)


def test_the_heaviest_rules_of_an_item_are_kept():
    histories = histories_of([[0, 1], [0, 1], [0, 2], [0, 3, 1]])
    one = sequential_rules(histories, 4, num_rules=1).score_tiles([np.array([0])])(0, 4)[0]
    assert [round(float(score), 3) for score in one] == [0, 2.5, 0, 0]


def test_rules_after_a_rare_item_weigh_more():
    """Items 0, 1, 2 occur 4, 2 and 1 times: the logarithms are evenly apart."""
    histories = histories_of([[0, 1], [0, 1], [0, 2], [0]])
    assert scaled_rarity(histories, 3) == pytest.approx([0, 0.5, 1])
    lists = histories_of([[0, 3], [0, 3], [2, 4], [0], [0], [5, 5, 5, 5]])
    plain = build_baseline("seq-rules", lists, 6, {"rarity_power": 0.0})
    rare = build_baseline("seq-rules", lists, 6, {"rarity_power": 1.0, "history_exponent": 0.0})
    history = [np.array([2, 0])]
    assert plain.rank(history, 1).items.tolist() == [[3]]
    assert rare.rank(history, 1).items.tolist() == [[4]]


def test_an_unknown_weight_of_distances_is_refused():
    with pytest.raises(SeqRecError, match="seq-rules: distances=linear: choose from inverse"):
        build_baseline("seq-rules", histories_of([[0, 1]]), 2, {"distances": "linear"})
