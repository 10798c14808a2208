"""Preference losses against arithmetic by hand, float64 twins in plain Python, and TRL's formulas.

TRL computes its losses inside of trainers; ``trl_loss`` below repeats what
``DPOTrainer``, ``CPOTrainer`` and ``KTOTrainer`` (TRL 1.16) do with log-probabilities.
"""

import itertools
from functools import partial
from math import exp, log

import pytest
import torch
import torch.nn.functional as F

from seqrec.losses.preference import (
    Answers,
    PairLogProbs,
    answer_log_prob,
    dpo,
    ipo,
    kto,
    pair_accuracy,
    pair_margin,
    s_dpo,
    simpo,
)


def sigmoid(x):
    return 1 / (1 + exp(-x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def sides(policy, reference, row, num_rejected):
    """Ratios of a row's chosen and rejected answers, as plain numbers."""
    chosen = float(policy.chosen[row] - reference.chosen[row])
    rejected = (policy.rejected - reference.rejected)[row, :num_rejected].tolist()
    return chosen, rejected


def dpo_twin(policy, reference, answers, row, beta, label_smoothing):
    chosen, rejected = sides(policy, reference, row, int(answers.is_rejected[row].sum()))
    return mean(
        -(1 - label_smoothing) * log(sigmoid(beta * (chosen - other)))
        - label_smoothing * log(sigmoid(beta * (other - chosen)))
        for other in rejected
    )


def ipo_twin(policy, reference, answers, row, beta):
    count = int(answers.is_rejected[row].sum())
    chosen, rejected = sides(policy, reference, row, count)
    chosen /= int(answers.chosen_length[row])
    rejected = [
        r / n for r, n in zip(rejected, answers.rejected_length[row].tolist(), strict=False)
    ]
    return mean((chosen - other - 1 / (2 * beta)) ** 2 for other in rejected)


def simpo_twin(policy, reference, answers, row, beta, gamma):
    chosen = float(policy.chosen[row]) / int(answers.chosen_length[row])
    pairs = zip(policy.rejected[row].tolist(), answers.rejected_length[row].tolist(), strict=True)
    return mean(-log(sigmoid(beta * (chosen - r / n) - gamma)) for r, n in pairs if n)


def s_dpo_twin(policy, reference, answers, row, beta):
    chosen, rejected = sides(policy, reference, row, int(answers.is_rejected[row].sum()))
    return -log(sigmoid(-log(sum(exp(beta * (other - chosen)) for other in rejected))))


def kto_twin(policy, reference, answers, row, beta, chosen_weight, rejected_weight):
    zero = max(float((policy.unrelated - reference.unrelated).mean()), 0)
    chosen, rejected = sides(policy, reference, row, int(answers.is_rejected[row].sum()))
    losses = []
    if answers.has_chosen[row]:
        losses.append(chosen_weight * (1 - sigmoid(beta * (chosen - zero))))
    if rejected:
        losses.append(mean(rejected_weight * (1 - sigmoid(beta * (zero - r))) for r in rejected))
    return sum(losses) / len(losses)


LOSSES = {
    "dpo": (dpo, dpo_twin, {"beta": 0.3, "label_smoothing": 0.1}),
    "ipo": (ipo, ipo_twin, {"beta": 0.3}),
    "simpo": (simpo, simpo_twin, {"beta": 2.0, "gamma": 0.5}),
    "s_dpo": (s_dpo, s_dpo_twin, {"beta": 0.3}),
    "kto": (kto, kto_twin, {"beta": 0.3, "chosen_weight": 1.0, "rejected_weight": 1.5}),
}


@pytest.fixture(params=LOSSES.values(), ids=LOSSES.keys())
def loss_twin_settings(request):
    return request.param


def example(num_pairs=6, num_rejected=3, dtype=torch.float64):
    """Pairs with one to three rejected answers of one to three titles."""

    def log_probs():
        shape = (num_pairs, num_rejected)
        return PairLogProbs(
            *(-3 * torch.rand(size, dtype=dtype) for size in ((num_pairs,), shape, (num_pairs,)))
        )

    rejected_length = torch.randint(1, 4, (num_pairs, num_rejected))
    for row in range(num_pairs):
        rejected_length[row, 1 + row % num_rejected :] = 0
    answers = Answers(torch.randint(1, 4, (num_pairs,)), rejected_length)
    return log_probs(), log_probs(), answers


def test_every_loss_equals_its_twin(loss_twin_settings):
    loss, twin, settings = loss_twin_settings
    policy, reference, answers = example()
    found = loss(policy, reference, answers, **settings)
    wanted = [twin(policy, reference, answers, row, **settings) for row in range(6)]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


def test_the_gradient_lifts_the_chosen_and_lowers_the_rejected(loss_twin_settings):
    loss, _, settings = loss_twin_settings
    policy, reference, answers = example()
    leaves = PairLogProbs(*(part.clone().requires_grad_() for part in policy))
    loss(leaves, reference, answers, **settings).sum().backward()
    if loss is not ipo:
        assert (leaves.chosen.grad < 0).all()
        assert (leaves.rejected.grad[answers.is_rejected] > 0).all()
    assert (leaves.rejected.grad[~answers.is_rejected] == 0).all()
    assert leaves.unrelated.grad is None or (leaves.unrelated.grad == 0).all()


def test_padding_and_the_order_of_pairs_do_not_matter(loss_twin_settings):
    loss, _, settings = loss_twin_settings
    policy, reference, answers = example()
    found = loss(policy, reference, answers, **settings)
    padding = ~answers.is_rejected
    broken = policy._replace(rejected=policy.rejected.masked_fill(padding, 77.0))
    torch.testing.assert_close(loss(broken, reference, answers, **settings), found)
    order = torch.randperm(6)
    shuffled = [type(part)(*(tensor[order] for tensor in part)) for part in example_parts(policy)]
    again = loss(
        shuffled[0],
        PairLogProbs(*(tensor[order] for tensor in reference)),
        Answers(*(tensor[order] for tensor in answers)),
        **settings,
    )
    torch.testing.assert_close(again, found[order])


def example_parts(policy):
    return [policy]


def test_huge_gaps_stay_finite(loss_twin_settings):
    loss, _, settings = loss_twin_settings
    policy, reference, answers = example(dtype=torch.float32)
    leaves = PairLogProbs(*((1e3 * part).requires_grad_() for part in policy))
    value = loss(leaves, reference, answers, **settings)
    value.sum().backward()
    assert value.isfinite().all()
    assert leaves.chosen.grad.isfinite().all() and leaves.rejected.grad.isfinite().all()


def one_pair(chosen, rejected, unrelated=0.0):
    return PairLogProbs(
        torch.tensor([chosen], dtype=torch.float64),
        torch.tensor([rejected], dtype=torch.float64),
        torch.tensor([unrelated], dtype=torch.float64),
    )


def test_losses_of_one_pair_by_hand():
    """Chosen went from 1/8 to 1/4, rejected from 1/4 to 1/8: ratios log 2 and -log 2."""
    policy, reference = one_pair(log(1 / 4), [log(1 / 8)]), one_pair(log(1 / 8), [log(1 / 4)])
    answers = Answers(torch.tensor([1]), torch.tensor([[1]]))

    def found(loss, **settings):
        return float(loss(policy, reference, answers, **settings))

    # beta * gap = log 4 at beta 1, so sigmoid is 4/5
    assert found(dpo, beta=1.0, label_smoothing=0.0) == pytest.approx(log(5 / 4))
    assert found(dpo, beta=1.0, label_smoothing=0.5) == pytest.approx((log(5 / 4) + log(5)) / 2)
    assert found(s_dpo, beta=1.0) == pytest.approx(log(5 / 4))
    assert found(ipo, beta=0.5) == pytest.approx((log(4) - 1) ** 2)
    # SimPO reads the policy alone: its gap is log 2
    assert found(simpo, beta=1.0, gamma=0.0) == pytest.approx(log(3 / 2))
    assert found(simpo, beta=2.0, gamma=log(2)) == pytest.approx(log(3 / 2))
    # KTO at z = 0: the liked loses 1 - 2/3, the disliked 1 - 2/3
    weights = {"chosen_weight": 1.0, "rejected_weight": 2.0}
    assert found(kto, beta=1.0, **weights) == pytest.approx((1 / 3 + 2 / 3) / 2)


def test_s_dpo_of_two_rejected_by_hand():
    """Ratios 0 against log 2 and log 3: the softmax's share of the chosen is 1 / (1 + 2 + 3)."""
    policy, reference = one_pair(0.0, [log(2), log(3)]), one_pair(0.0, [0.0, 0.0])
    answers = Answers(torch.tensor([1]), torch.tensor([[1, 1]]))
    assert float(s_dpo(policy, reference, answers, beta=1.0)) == pytest.approx(log(6))


def test_kto_judges_a_lone_like_and_a_lone_dislike():
    policy, reference, _ = example(num_pairs=2, num_rejected=1)
    answers = Answers(torch.tensor([1, 0]), torch.tensor([[0], [1]]))
    settings = {"beta": 0.7, "chosen_weight": 1.0, "rejected_weight": 1.0}
    found = kto(policy, reference, answers, **settings)
    zero = max(float((policy.unrelated - reference.unrelated).mean()), 0)
    liked = float((policy.chosen - reference.chosen)[0])
    disliked = float((policy.rejected - reference.rejected)[1, 0])
    assert float(found[0]) == pytest.approx(1 - sigmoid(0.7 * (liked - zero)))
    assert float(found[1]) == pytest.approx(1 - sigmoid(0.7 * (zero - disliked)))


def trl_loss(name, policy, reference, beta, **more):
    """What TRL's trainers do with (average) log-probabilities of one answer each."""
    chosen, rejected = policy.chosen, policy.rejected[:, 0]
    ratios = chosen - reference.chosen, rejected - reference.rejected[:, 0]
    delta = ratios[0] - ratios[1]
    if name == "dpo":  # DPOTrainer, loss_type "sigmoid"; with smoothing as in "aot"
        smoothing = more["label_smoothing"]
        return -F.logsigmoid(beta * delta) * (1 - smoothing) - F.logsigmoid(-beta * delta) * (
            smoothing
        )
    if name == "ipo":  # DPOTrainer, loss_type "ipo"
        return (delta - 1 / (2 * beta)) ** 2
    if name == "simpo":  # CPOTrainer, loss_type "simpo", simpo_gamma
        return -F.logsigmoid(beta * (chosen - rejected - more["gamma"] / beta))
    kl = (policy.unrelated - reference.unrelated).mean().detach().clamp(min=0)  # KTOTrainer
    liked = 1 - torch.sigmoid(beta * (ratios[0] - kl))
    disliked = 1 - torch.sigmoid(beta * (kl - ratios[1]))
    return (more["chosen_weight"] * liked + more["rejected_weight"] * disliked) / 2


@pytest.mark.parametrize("name", ["dpo", "ipo", "simpo", "kto"])
def test_one_step_equals_trls(name):
    """The gradient step on a linear softmax model, through our loss and through TRL's formula."""
    loss, _, settings = LOSSES[name]
    hidden, start = (torch.randn(*shape, dtype=torch.float64) for shape in ((5, 4), (9, 4)))
    asked = torch.stack([torch.randperm(9)[:3] for _ in range(5)])
    answers = Answers(torch.ones(5, dtype=torch.long), torch.ones(5, 1, dtype=torch.long))

    def log_probs(weight):
        found = (hidden @ weight.T).log_softmax(1).gather(1, asked)
        return PairLogProbs(found[:, 0], found[:, 1:2], found[:, 2])

    reference = log_probs(start + torch.randn_like(start) / 3)
    steps = []
    for function in (
        partial(loss, answers=answers, **settings),
        lambda policy, reference: trl_loss(name, policy, reference, **settings),
    ):
        weight = start.clone().requires_grad_()
        function(log_probs(weight), reference).mean().backward()
        steps.append(start - 0.1 * weight.grad)
    torch.testing.assert_close(*steps)


def test_probabilities_of_all_slates_sum_to_one_and_equal_drawing_without_replacement():
    title = torch.randn(5, dtype=torch.float64).log_softmax(0)
    slates = torch.tensor(list(itertools.permutations(range(5), 3)))
    found = answer_log_prob(title[slates], torch.ones_like(slates, dtype=torch.bool)).exp()
    torch.testing.assert_close(found.sum(), torch.tensor(1.0, dtype=torch.float64))
    chances = title.exp().tolist()
    for slate, probability in zip(slates.tolist(), found.tolist(), strict=True):
        left, wanted = 1.0, 1.0
        for item in slate:
            wanted *= chances[item] / left
            left -= chances[item]
        assert probability == pytest.approx(wanted)


def test_slates_of_one_title_of_none_and_with_padding():
    title = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log().repeat(3, 1)
    is_title = torch.tensor([[True, False, False], [False] * 3, [True, True, False]])
    found = answer_log_prob(title, is_title).exp()
    torch.testing.assert_close(found, torch.tensor([0.5, 1, 0.5 * 0.3 / 0.5], dtype=found.dtype))


def test_a_slate_of_nearly_everything_has_a_finite_gradient():
    logits = torch.tensor([60.0, 0.0, -60.0], requires_grad=True)
    answer_log_prob(logits.log_softmax(0), torch.ones(3, dtype=torch.bool)).backward()
    assert logits.grad.isfinite().all()


def test_accuracy_and_margin_by_hand():
    policy, reference = one_pair(-1.0, [-2.0, -1.0, -0.5]), one_pair(-1.5, [-2.0, -2.0, -0.5])
    answers = Answers(torch.tensor([1]), torch.tensor([[1, 1, 1]]))
    assert float(pair_accuracy(policy, answers)) == pytest.approx((1 + 0.5 + 0) / 3)
    assert float(pair_margin(policy, reference, answers)) == pytest.approx((0.5 - 0.5 + 0.5) / 3)
    longer = Answers(torch.tensor([2]), torch.tensor([[1, 1, 1]]))
    assert float(pair_accuracy(policy, longer)) == pytest.approx((1 + 1 + 0.5) / 3)
