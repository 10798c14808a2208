"""The page world, which rewards plans: rows of one genre each, unlike the others."""

from itertools import permutations

import numpy as np
import pytest

import seqrec
from seqrec.data.simulation.pages import PageWorld, row_gains, row_worths
from seqrec.rl.plans import PlannedSampler
from seqrec.rl.prompts import Prompts
from seqrec.rl.worker import RolloutWorker

WORLD = PageWorld(num_items_per_genre=12, keeping=0.6)
ROW_LENGTH = 3
MOOD = "{name: mood, column: mood, place: before, is_learned: true, dropout: 0.3}"
REWARD = "{name: function, function: 'seqrec.data.simulation.pages:row_gains'}"
SMALL = [
    "data.max_length=12",
    "model.hidden_size=32",
    "model.num_hidden_layers=1",
    "model.dropout=0",
    "trainer.precision=float32",
    "trainer.accelerator=cpu",
]


def test_the_reward_by_hand():
    page = [["C01", "C02"], ["C03", "C04"], ["D01", "D02"], ["C05", "D03"], ["D04", "D05"]]
    assert row_worths([[]], [page]) == [[3 / 4, 3 / 4, 3 / 4, 0, 3 / 4]]
    assert row_gains([[]], [page]) == [[1 / 2, 1 / 2, 1 / 2, 0, 1 / 2]]
    assert row_worths([[]], [page[:2]]) == [[0, 0]]
    assert row_gains([[]], [page[:2], page[:1]]) == [[-1, -1], [1]]


def expected_worth(weights, row_length):
    """Return ``a (1 - a) + b (1 - b)`` by enumeration of all rows drawn without replacement."""
    half, worth = len(weights) // 2, 0.0
    for titles in (range(half), range(half, 2 * half)):
        chance = 0.0
        for row in permutations(titles, row_length):
            left, of_row = weights.sum(), 1.0
            for title in row:
                of_row *= weights[title] / left
                left -= weights[title]
            chance += of_row
        worth += chance * (1 - chance)
    return worth


def test_no_distribution_beats_the_best_without_a_plan():
    """Three titles a genre, rows of two: against random weights, and the best even ones."""
    world, generator = PageWorld(num_items_per_genre=3, keeping=0.6), np.random.default_rng(0)
    best = world.best_without_plan([], 2)
    assert best < 0.34 < world.best_with_plan()
    for scale in (0.3, 1.0, 3.0):
        for weights in np.exp(scale * generator.standard_normal((300, 6))):
            assert expected_worth(weights, 2) <= best + 1e-9
    shares = np.linspace(0.001, 0.999, 999)
    even = [expected_worth(np.repeat([share, 1 - share], 3) / 3, 2) for share in shares]
    assert max(even) == pytest.approx(best, abs=1e-4)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    WORLD.write_log(folder, num_users=400, length=9, seed=1)
    seqrec.prepare(folder, out=folder / "data")
    overrides = [
        *SMALL,
        "trainer.max_epochs=6",
        "trainer.learning_rate=0.01",
        f"data.events={{features: [{MOOD}]}}",
    ]
    seqrec.train("sft", data=folder / "data", out=folder / "sft", overrides=overrides)
    return folder


def worth_and_best(run):
    """Return the worth of pages after new histories, and the best worth without a plan."""
    rec = seqrec.Recommender.from_pretrained(run)
    sampler = PlannedSampler(
        num_slates=64,
        slate_size=ROW_LENGTH,
        temperature=1.0,
        max_length=12,
        events=rec.events,
    )
    generator = np.random.default_rng(7)
    item_ids = np.array(rec.item_ids)
    histories = [
        generator.choice(24, size=generator.integers(1, 9), replace=False) for _ in range(64)
    ]
    prompts = Prompts(np.arange(64), histories, [np.array([0])] * 64)
    pages = RolloutWorker(rec.model, sampler, 0, 0).generate(prompts, 0).items
    given = [item_ids[history].tolist() for history in histories]
    found = np.mean(row_worths(given, item_ids[pages].tolist()))
    return found, np.mean([WORLD.best_without_plan(history, ROW_LENGTH) for history in given])


def test_a_plan_exceeds_the_best_policy_without_a_plan(started, tmp_path):
    first, most_without = worth_and_best(started / "sft")
    overrides = [
        f"model.from_pretrained={started / 'sft'}",
        "trainer.accelerator=cpu",
        "trainer.precision=float32",
        "trainer.learning_rate=0.001",
        f"objective.slates={{plan: true, sampler: plackett_luce, slate_size: {ROW_LENGTH}}}",
        f"objective.rewards=[{REWARD}]",
        "objective.algorithm={name: dr_grpo}",
        "objective.num_updates=150",
        "objective.num_prompts=16",
        "objective.num_held_out_prompts=16",
        "objective.guard={max_kl_nats: 9, tolerance: 0.99, check_every: 50, kl_coef: 0}",
    ]
    seqrec.train("grpo", data=started / "data", out=tmp_path / "rl", overrides=overrides)
    found, _ = worth_and_best(tmp_path / "rl")
    assert first < most_without < 0.3
    assert found > 0.9 * WORLD.best_with_plan()
