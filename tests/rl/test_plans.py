"""Plans and slates against enumeration: six titles, plans of two words, seen titles masked."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch

from seqrec.losses.bias import add_bias
from seqrec.models import SeqRecForNextItem
from seqrec.rl.plans import PlannedSampler
from seqrec.rl.prompts import Prompts
from seqrec.rl.slates import Slates, mean_kl
from seqrec.rl.worker import RolloutWorker
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.tokenizer import ItemTokens
from tests.conftest import small_config
from tests.tokens.conftest import feature

HISTORIES = [np.array([0, 3, 0]), np.array([5])]
UNSEEN = [[1, 2, 4, 5], [0, 1, 2, 3, 4]]
GRAMMAR = Grammar(
    (
        feature("genre", source="item", key="genres", values=("Crime", "Drama")),
        feature("wanted", place="before"),
        feature("next_genre", place="before", values=("Crime", "Drama"), is_learned=True),
        feature("device", place="before", values=("tv", "phone")),
        feature("mood", place="before", values=("sad", "glad"), is_learned=True),
    )
)
TOKENS = ItemTokens(OneTokenItems(2, 6), pad_token_id=0, unknown_token_id=1)
EVENTS = EventTokens(TOKENS, EventCoder(GRAMMAR, {0: np.arange(6) % 3}), first_token=8)
GENRE, WANTED, NEXT_GENRE, DEVICE, MOOD = EVENTS.first_tokens.tolist()
PLANS = PlannedSampler(4, 2, 1.0, 10, EVENTS)
PROMPTS = Prompts(np.arange(2), HISTORIES, [np.array([1])] * 2)
EVERY_PLAN = list(product((1, 2), (1, 2)))


def small_policy(seed=0, **changes):
    torch.manual_seed(seed)
    config = small_config("sasrec", num_items=6, padded_num_items=64, **changes)
    config.backbone_config.max_position_embeddings = 64
    return SeqRecForNextItem(config).eval()


def every_answer(unseen, slate_size):
    """All plans, each with all slates."""
    slates = list(permutations(unseen, slate_size))
    plans = [plan for plan in EVERY_PLAN for _ in slates]
    return torch.tensor(plans), torch.tensor(slates * len(EVERY_PLAN))


def found_log_probs(model, plans, items, temperature=1.0):
    slates = Slates(items, torch.empty(0), plans)
    sampler = replace(PLANS, temperature=temperature)
    return PLANS.log_probs(sampler.steps(model, PLANS.tokenize(model, PROMPTS), slates), slates)


def naive_log_prob(model, row, plan, slate, temperature):
    """Word by word and title by title, each after tokens written by hand, in plain autograd."""
    table = model.get_input_embeddings().weight
    tokens: list[int] = []
    for item in HISTORIES[row].tolist():
        tokens += [2 + item, GENRE + item % 3, WANTED, NEXT_GENRE, DEVICE, MOOD]
    tokens = tokens[:-3]

    def state():
        return model.hidden_states(torch.tensor([tokens]))[0, -1] / temperature

    total = torch.zeros(())
    for first_token, code, between in ((NEXT_GENRE, plan[0], [DEVICE]), (MOOD, plan[1], [])):
        logits = table[first_token + 1 : first_token + 3] @ state()
        total = total + logits.log_softmax(0)[code - 1]
        tokens += [first_token + code, *between]
    logits = model.item_weight() @ state()
    excluded = set(HISTORIES[row].tolist())
    for title in slate:
        left = [item for item in range(6) if item not in excluded]
        total = total + logits[left].log_softmax(0)[left.index(title)]
        excluded.add(title)
    return total


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_all_plans_and_slates_sum_to_one(temperature):
    model = small_policy()
    for row, unseen in enumerate(UNSEEN):
        plans, items = (torch.stack([of] * 2) for of in every_answer(unseen, 3))
        with torch.no_grad():
            found = found_log_probs(model, plans, items, temperature)[row]
        assert found.shape[1] == 2 + 3
        torch.testing.assert_close(found.sum(dim=1).exp().sum(), torch.ones(()))


def test_value_and_gradient_are_those_of_a_naive_twin():
    plans = torch.tensor([[[1, 2], [2, 2]], [[2, 1], [1, 1]]])
    items = torch.tensor([[[1, 4], [5, 2]], [[0, 3], [2, 1]]])
    gains = torch.tensor([[1.0, -0.5], [2.0, 0.3]])
    model = small_policy()
    found = found_log_probs(model, plans, items, 0.7).sum(dim=2)
    (found * gains).sum().backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    wanted = torch.stack(
        [
            naive_log_prob(model, row, plans[row, g].tolist(), items[row, g].tolist(), 0.7)
            for row in range(2)
            for g in range(2)
        ]
    ).view(2, 2)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    (wanted * gains).sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-3, atol=1e-5)


def test_seen_titles_have_no_probability():
    plans = torch.ones(2, 1, 2, dtype=torch.long)
    with torch.no_grad():
        found = found_log_probs(small_policy(), plans, torch.tensor([[[1, 3]], [[1, 3]]]))[:, 0, 3]
    assert found[0] < -1e6 < -20 < found[1]


def test_what_was_drawn_is_as_probable_as_it_is_said_to_be():
    model = small_policy()
    generator = torch.Generator().manual_seed(0)
    sampler = replace(PLANS, num_slates=4000, slate_size=2, temperature=0.7)
    drawn = sampler.draw(model, PLANS.tokenize(model, PROMPTS), generator)
    some = slice(0, 50)
    with torch.no_grad():
        found = found_log_probs(model, drawn.plans[:, some], drawn.items[:, some], 0.7)
    torch.testing.assert_close(found, drawn.log_prob[:, some], rtol=1e-4, atol=1e-4)
    for row in range(2):
        answers = torch.cat([drawn.plans[row], drawn.items[row]], dim=1)
        kinds, places, counts = answers.unique(dim=0, return_inverse=True, return_counts=True)
        first = [int((places == kind).nonzero()[0]) for kind in range(len(kinds))]
        wanted = drawn.log_prob[row, first].sum(dim=1).exp()
        error = (wanted * (1 - wanted) / 4000).sqrt()
        assert ((counts / 4000 - wanted).abs() < 4.5 * error + 1e-3).all()


def test_without_a_generator_every_word_and_title_is_the_likeliest():
    model = small_policy()
    best = replace(PLANS, slate_size=1).draw(model, PLANS.tokenize(model, PROMPTS), None)
    for row, unseen in enumerate(UNSEEN):
        plan = best.plans[row, 0].tolist()
        with torch.no_grad():
            answers = {
                (words, title): float(naive_log_prob(model, row, words, [title], 1.0))
                for words in EVERY_PLAN
                for title in unseen
            }
        of_first = [
            np.logaddexp.reduce([v for (w, _), v in answers.items() if w[0] == code])
            for code in (1, 2)
        ]
        assert plan[0] == 1 + np.argmax(of_first)
        given = {title: v for (w, title), v in answers.items() if list(w) == plan}
        assert best.items[row, 0, 0] == max(given, key=given.get)


def test_the_mean_drift_over_drawn_plans_is_the_divergence_of_plan_and_next_title():
    model, reference = small_policy(0), small_policy(1)
    batch = PLANS.tokenize(model, replace(PROMPTS, histories=HISTORIES[1:]))
    wanted = 0.0
    with torch.no_grad():
        for plan in EVERY_PLAN:
            for title in UNSEEN[1]:
                p, q = (naive_log_prob(m, 1, plan, [title], 1.0) for m in (model, reference))
                wanted += float(p.exp() * (p - q))
    sampler = replace(PLANS, num_slates=4000, slate_size=1)
    drawn = sampler.draw(model, batch, torch.Generator().manual_seed(0))
    with torch.no_grad():
        mine, theirs = (sampler.steps(m, batch, drawn) for m in (model, reference))
        assert float(mean_kl(mine, theirs)) == pytest.approx(wanted, rel=0.05)
        assert float(mean_kl(mine, mine)) == pytest.approx(0, abs=1e-5)


def test_a_memory_is_asked_with_the_titles_of_the_history():
    transition_prior = {
        "num_edges": 6,
        "max_steps": 2,
        "step_decay": 0.5,
        "query_decay": 0.5,
        "smoothing": 1.0,
        "strength": 0.8,
    }
    model = small_policy(transition_prior=transition_prior)
    edges = torch.arange(7), torch.tensor([1, 2, 3, 4, 5, 0]), torch.full((6,), 9.0)
    model.transition_prior.load_transitions(*edges, torch.full((6,), 9.0), torch.full((6,), 9))
    plans, items = torch.tensor([[[1, 2]], [[2, 2]]]), torch.tensor([[[1]], [[0]]])
    slates = Slates(items, torch.empty(0), plans)
    steps = PLANS.steps(model, PLANS.tokenize(model, PROMPTS), slates)
    found = torch.zeros(2, 6)
    add_bias(found, steps[-1].scores.logit_bias, slice(0, 2), slice(0, 6))
    asked = torch.tensor([[0, 3], [5, -1]])
    wanted = model.transition_prior.logits(asked, 0, 6)
    wanted[0, [0, 3]] = wanted[1, 5] = -1e9
    torch.testing.assert_close(found, wanted)


def test_workers_draw_plans_and_repeat_them():
    one, other = (RolloutWorker(small_policy(), PLANS, 0, 0).generate(PROMPTS, 3) for _ in range(2))
    assert one.plans.shape == (2, 4, 2) and one.log_prob.shape == (2, 4, 4)
    assert (one.plans == other.plans).all() and (one.items == other.items).all()
    best = RolloutWorker(small_policy(), PLANS, 0, 0).best(PROMPTS)
    assert best.plans.shape == (2, 1, 2)
