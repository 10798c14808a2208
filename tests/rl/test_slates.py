"""Slates against enumeration: both ways of drawing, masked, on a catalog of six titles."""

from itertools import permutations

import numpy as np
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.losses.divergence import row_divergences
from seqrec.models import SeqRecForNextItem
from seqrec.models.ensemble import EnsembleConfig
from seqrec.rl.autoregressive import AutoregressiveSampler
from seqrec.rl.branches import encode
from seqrec.rl.most_probable import MostProbableSampler
from seqrec.rl.plackett_luce import PlackettLuceSampler
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.slates import Slates, mean_kl
from seqrec.tokens.item_blocks import OneTokenItems
from tests.conftest import small_config

HISTORIES = [np.array([0, 3, 0]), np.array([5])]
SAMPLERS = [PlackettLuceSampler, AutoregressiveSampler]
MEMORY = {
    "num_edges": 6,
    "max_steps": 2,
    "step_decay": 0.5,
    "query_decay": 0.5,
    "smoothing": 1.0,
    "strength": 0.8,
}


def small_policy(seed=0, **changes):
    torch.manual_seed(seed)
    config = small_config("sasrec", num_items=6, padded_num_items=64, **changes)
    return SeqRecForNextItem(config).eval()


def hold(model):
    """After each title of six, the next one follows."""
    edges = torch.arange(7), torch.tensor([1, 2, 3, 4, 5, 0]), torch.full((6,), 9.0)
    model.transition_prior.load_transitions(*edges, torch.full((6,), 9.0), torch.full((6,), 9))


def batch():
    return PromptBatch.of(HISTORIES, blocks=OneTokenItems(2, 6), pad_token_id=0, max_length=10)


def steps_of(model, items, kind, temperature=1.0):
    sampler, slates = kind(1, items.shape[2], temperature, 10), Slates(items, torch.empty(0))
    return sampler.steps(model, batch(), slates)


def found_log_probs(model, items, kind, temperature=1.0):
    steps = steps_of(model, items, kind, temperature)
    return kind(1, items.shape[2], temperature, 10).log_probs(steps, Slates(items, torch.empty(0)))


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_all_slates_sum_to_one(kind, temperature):
    """Ordered slates of three of the titles that each history has not seen."""
    model = small_policy()
    for row, unseen in enumerate(([1, 2, 4, 5], [0, 1, 2, 3, 4])):
        slates = torch.tensor(list(permutations(unseen, 3)))
        items = torch.stack([slates] * 2)
        with torch.no_grad():
            found = found_log_probs(model, items, kind, temperature)[row]
        torch.testing.assert_close(found.sum(dim=1).exp().sum(), torch.ones(()))


def test_the_most_probable_items_are_slates_of_one_in_order():
    model = small_policy()
    sampler = MostProbableSampler(3, 2, 1.0, 10)
    drawn = sampler.draw(model, batch(), torch.Generator().manual_seed(0))
    every = torch.arange(6)[None, :, None].expand(2, -1, -1)
    with torch.no_grad():
        log_prob = found_log_probs(model, every, PlackettLuceSampler)[:, :, 0]
    assert drawn.items.squeeze(2).tolist() == log_prob.topk(3).indices.tolist()
    torch.testing.assert_close(drawn.log_prob.squeeze(2), log_prob.topk(3).values)
    best = sampler.draw(model, batch(), None).items
    assert best.shape == (2, 1, 2) and torch.equal(best[:, 0], drawn.items[:, :2, 0])


@pytest.mark.parametrize("title", [0, 3, 5])
def test_seen_titles_have_no_probability(title):
    items = torch.tensor([[[1, title]], [[1, title]]])
    for kind in SAMPLERS:
        with torch.no_grad():
            found = found_log_probs(small_policy(), items, kind)[:, 0, 1].exp()
        assert (found > 0).tolist() == [title == 5, title != 5]


def test_a_history_encoded_once_is_the_history_encoded_with_every_slate():
    model = small_policy()
    items = torch.tensor([[[1, 2], [4, 5]], [[0, 1], [3, 2]]])
    states = encode(model, batch(), items)
    for row, history in enumerate(HISTORIES):
        alone = torch.from_numpy(history)[None] + 2
        torch.testing.assert_close(states.after_history[row], model.hidden_states(alone)[0, -1])
        for slate in range(2):
            whole = torch.cat([alone, items[row, slate][None] + 2], dim=1)
            wanted = model.hidden_states(whole)[0, -2:]
            torch.testing.assert_close(states.after_item[row, slate], wanted)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_what_was_drawn_is_as_probable_as_it_is_said_to_be(kind):
    model = small_policy()
    generator = torch.Generator().manual_seed(0)
    slates = kind(4000, 2, 0.7, 10).draw(model, batch(), generator)
    some = slates.items[:, :50]
    with torch.no_grad():
        found = found_log_probs(model, some, kind, 0.7)
    torch.testing.assert_close(found, slates.log_prob[:, :50], rtol=1e-4, atol=1e-4)
    for row in range(2):
        kinds, places, counts = slates.items[row].unique(
            dim=0, return_inverse=True, return_counts=True
        )
        first = [int((places == kind).nonzero()[0]) for kind in range(len(kinds))]
        wanted = slates.log_prob[row, first].sum(dim=1).exp()
        error = (wanted * (1 - wanted) / 4000).sqrt()
        assert ((counts / 4000 - wanted).abs() < 4.5 * error).all()


def policy_of_kind(kind):
    torch.manual_seed(0)
    block = kind if kind in ("llama", "hstu") else "sasrec"
    config = small_config(block, num_items=6, padded_num_items=64)
    if kind == "ensemble":
        config.backbone_config = EnsembleConfig(member_config=config.backbone_config, num_members=2)
    if kind == "transition_prior":
        config.transition_prior = MEMORY
    model = SeqRecForNextItem(config).eval()
    if kind == "transition_prior":
        hold(model)
    return model


@pytest.mark.parametrize("kind", ["sasrec", "llama", "hstu", "ensemble", "transition_prior"])
def test_titles_drawn_in_turn_come_from_what_the_whole_row_says(kind):
    """Three titles a slate: what is kept of the histories is what reading all anew would find."""
    model, generator = policy_of_kind(kind), torch.Generator().manual_seed(0)
    slates = AutoregressiveSampler(5, 3, 1.0, 10).draw(model, batch(), generator)
    with torch.no_grad():
        found = found_log_probs(model, slates.items, AutoregressiveSampler)
    torch.testing.assert_close(slates.log_prob, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_without_a_generator_the_best_titles_are_drawn(kind):
    model = small_policy()
    slates = kind(1, 1, 1.0, 10).draw(model, batch(), None)
    columns = torch.arange(batch().input_ids.shape[1])
    logits = model(batch().input_ids, (columns < batch().lengths[:, None]).long())
    unseen = logits.logits.clone()
    unseen[0, [0, 3]] = unseen[1, 5] = -torch.inf
    assert slates.items[:, 0, 0].tolist() == unseen.argmax(dim=1).tolist()


def test_drift_is_the_exact_divergence_and_0_from_oneself():
    model, reference = small_policy(0), small_policy(1)
    items = torch.tensor([[[1, 2], [4, 5]], [[0, 1], [3, 2]]])
    for kind in SAMPLERS:
        mine, theirs = steps_of(model, items, kind), steps_of(reference, items, kind)
        found = mean_kl(mine, theirs)
        rows = [
            row_divergences(a.scores, [b.scores], kind="reverse_kl")
            for a, b in zip(mine, theirs, strict=True)
        ]
        wanted = torch.cat([row * step.weight for row, step in zip(rows, mine, strict=True)])
        torch.testing.assert_close(found, wanted.sum())
        assert found > 0
        torch.testing.assert_close(mean_kl(mine, mine), torch.zeros(()), atol=1e-6, rtol=0)


def test_drift_after_a_history_is_that_of_the_softmax_over_what_is_unseen():
    """In float64, each history's unseen titles enumerated, at a temperature."""
    models = small_policy(0), small_policy(1)
    items = torch.tensor([[[1, 2], [4, 5]], [[0, 1], [3, 2]]])
    found = mean_kl(*(steps_of(model, items, PlackettLuceSampler, 0.5) for model in models))
    wanted = 0.0
    for history in HISTORIES:
        unseen = np.setdiff1d(np.arange(6), history)
        logits = []
        for model in models:
            ids = torch.from_numpy(history)[None] + 2
            state = model.hidden_states(ids, torch.ones_like(ids))[0, -1]
            logits.append((model.item_weight() @ state).double()[unseen] / 0.5)
        mine, theirs = (of.log_softmax(0) for of in logits)
        wanted += (mine.exp() * (mine - theirs)).sum().item() / 2
    assert found.item() == pytest.approx(wanted, rel=1e-4)


def test_an_empty_history_is_refused():
    with pytest.raises(SeqRecError, match="history 1 is empty"):
        PromptBatch.of(
            [np.array([1]), np.array([], dtype=int)],
            blocks=OneTokenItems(2, 6),
            pad_token_id=0,
            max_length=10,
        )


def test_the_mean_drift_over_drawn_prefixes_is_the_divergence_of_slates():
    """Sequential slates of two titles: KL of the slates' distributions, enumerated."""
    model, reference = small_policy(0), small_policy(1)
    pairs = torch.tensor(list(permutations([0, 1, 2, 3, 4], 2)))
    items = torch.stack([pairs] * 2)
    with torch.no_grad():
        log_p = found_log_probs(model, items, AutoregressiveSampler)[1].sum(dim=1)
        log_q = found_log_probs(reference, items, AutoregressiveSampler)[1].sum(dim=1)
    wanted = (log_p.exp() * (log_p - log_q)).sum() / 2
    only = PromptBatch.of(HISTORIES[1:], blocks=OneTokenItems(2, 6), pad_token_id=0, max_length=10)
    generator = torch.Generator().manual_seed(0)
    sampler = AutoregressiveSampler(4000, 2, 1.0, 10)
    drawn = sampler.draw(model, only, generator)
    with torch.no_grad():
        found = mean_kl(*(sampler.steps(m, only, drawn) for m in (model, reference)))
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0)


def test_a_memory_is_asked_with_the_titles_drawn_so_far():
    model = small_policy(transition_prior=MEMORY)
    hold(model)
    items = torch.tensor([[[1, 2]], [[0, 1]]])
    with torch.no_grad():
        found = found_log_probs(model, items, AutoregressiveSampler)
        whole = model(torch.tensor([[2, 5, 2, 3]]), torch.ones(1, 4, dtype=torch.long)).logits[0]
    whole[[0, 3, 1]] = -torch.inf
    torch.testing.assert_close(found[0, 0, 1], whole.log_softmax(0)[2], rtol=1e-4, atol=1e-4)
