"""Losses over drawn negatives against their float64 twins."""

from functools import partial
from math import log

import pytest
import torch
import torch.nn.functional as F

from seqrec.losses import chunks
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.losses.negatives import Negatives
from seqrec.losses.sampled import binary_cross_entropy, gbce, sampled_softmax

NUM_ITEMS = 23


def softmax_of_row(positive_score, scores, log_counts, num_negatives, *, log_q):
    """The definition, exponential by exponential."""
    partition = positive_score.exp()
    for score, log_count in zip(scores, log_counts, strict=True):
        partition = partition + (score - log_count if log_q else score).exp()
    return -(positive_score.exp() / partition).log()


def binary_of_row(positive_score, scores, log_counts, num_negatives, *, beta):
    """The definition, yes by no."""
    total = torch.sigmoid(positive_score).pow(beta).log()
    for score in scores:
        total = total + (1 - torch.sigmoid(score)).log()
    return -total / (num_negatives + 1)


def gbce_of_row(positive_score, scores, log_counts, num_negatives, *, num_items, t):
    alpha = num_negatives / (num_items - 1)
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
    return binary_of_row(positive_score, scores, log_counts, num_negatives, beta=beta)


def naive_loss(
    hidden, positive, negative, labels, negatives, *, row_loss, label_weight=None, total_weight=None
):
    """A row and a negative at a time; only the scores are taken at once, in one precision."""
    scores = hidden @ negative.T
    positive_scores = (hidden[:, None] @ positive[:, :, None]).flatten()
    precision = torch.promote_types(scores.dtype, torch.float32)
    total, weights = hidden.new_zeros((), dtype=precision), 0.0
    for row, label in enumerate(labels.tolist()):
        weight = 1.0 if label_weight is None else float(label_weight[row])
        if label == IGNORE_INDEX or weight == 0:
            continue
        places = [place for place, item in enumerate(negatives.items.tolist()) if item != label]
        loss = row_loss(
            positive_scores[row].to(precision),
            scores[row, places].to(precision),
            negatives.log_count[places].to(precision),
            len(negatives.items),
        )
        total, weights = total + weight * loss, weights + weight
    return total / (total_weight or weights or 1.0)


LOSSES = {
    "sampled_softmax": (
        partial(sampled_softmax, log_q=False),
        partial(naive_loss, row_loss=partial(softmax_of_row, log_q=False)),
    ),
    "sampled_softmax, log_q": (
        partial(sampled_softmax, log_q=True),
        partial(naive_loss, row_loss=partial(softmax_of_row, log_q=True)),
    ),
    "binary_cross_entropy": (
        binary_cross_entropy,
        partial(naive_loss, row_loss=partial(binary_of_row, beta=1)),
    ),
    "gbce": (
        partial(gbce, num_items=NUM_ITEMS, t=0.75),
        partial(naive_loss, row_loss=partial(gbce_of_row, num_items=NUM_ITEMS, t=0.75)),
    ),
}


@pytest.fixture(params=LOSSES.values(), ids=LOSSES.keys())
def loss_and_twin(request):
    return request.param


def example(dtype=torch.float64, num_rows=40, num_negatives=12, width=6):
    """Few items, so that many negatives are labels of rows, and some are drawn twice."""
    item_weight = torch.randn(NUM_ITEMS, width, dtype=dtype)
    hidden = torch.randn(num_rows, width, dtype=dtype)
    labels = torch.randint(NUM_ITEMS, (num_rows,))
    items = torch.randint(NUM_ITEMS, (num_negatives,))
    positive, negative = item_weight[labels], item_weight[items]
    labels[::5] = IGNORE_INDEX
    label_weight = torch.rand(num_rows)
    label_weight[1::7] = 0
    log_count = torch.randn(num_negatives, dtype=torch.float64)
    return (hidden, positive, negative), (labels, Negatives(items, log_count)), label_weight


def value_and_gradients(loss, vectors, *others, **more):
    vectors = [tensor.detach().clone().requires_grad_() for tensor in vectors]
    value = loss(*vectors, *others, **more)
    (3 * value).backward()
    return value.detach(), *[tensor.grad for tensor in vectors]


@pytest.mark.parametrize("is_weighted", [False, True])
def test_value_and_gradients_equal_the_float64_twin(loss_and_twin, is_weighted):
    loss, twin = loss_and_twin
    vectors, others, label_weight = example()
    assert (others[0][:, None] == others[1].items).any()
    more = {"label_weight": label_weight} if is_weighted else {}
    found = value_and_gradients(loss, vectors, *others, **more)
    wanted = value_and_gradients(twin, vectors, *others, **more)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_chunks_add_up(loss_and_twin, monkeypatch):
    loss, _ = loss_and_twin
    vectors, others, label_weight = example(num_rows=300)
    more = {"label_weight": label_weight}
    whole = value_and_gradients(loss, vectors, *others, **more)
    monkeypatch.setitem(chunks.MAX_CHUNK_LOGITS, "cpu", 1)
    assert chunks.chunk_rows(300, 12, torch.device("cpu")) == 100
    in_chunks = value_and_gradients(loss, vectors, *others, **more)
    for one, other in zip(in_chunks, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("is_autocast", [False, True], ids=["float32", "bfloat16 autocast"])
def test_precision_is_as_near_to_the_truth_as_the_naive_one(loss_and_twin, is_autocast):
    loss, twin = loss_and_twin
    vectors, others, _ = example(num_rows=100, num_negatives=20, width=32)
    vectors = [tensor / 2 for tensor in vectors]
    truth = value_and_gradients(twin, vectors, *others)
    low = [tensor.float() for tensor in vectors]
    with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
        plain = value_and_gradients(twin, low, *others)
        found = value_and_gradients(loss, low, *others)
    assert found[0].dtype == torch.float32
    for exact, naive, ours in zip(truth, plain, found, strict=True):
        assert ours.dtype == torch.float32
        scale = exact.abs().max()
        naive_error = (naive.double() - exact).abs().max() / scale
        our_error = (ours.double() - exact).abs().max() / scale
        assert our_error <= 2 * naive_error + 1e-6


def test_autocast_leaves_float64_alone(loss_and_twin):
    loss, _ = loss_and_twin
    vectors, others, _ = example()
    value = loss(*vectors, *others)
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(*vectors, *others) == value
    assert value.dtype == torch.float64


def test_a_batch_in_which_nothing_counts_is_0_with_a_zero_gradient(loss_and_twin):
    loss, _ = loss_and_twin
    vectors, (labels, negatives), label_weight = example()
    for ignored, more in (
        (torch.full_like(labels, IGNORE_INDEX), {}),
        (labels, {"label_weight": torch.zeros_like(label_weight)}),
    ):
        value, *gradients = value_and_gradients(loss, vectors, ignored, negatives, **more)
        assert value == 0
        assert all(gradient.abs().max() == 0 for gradient in gradients)


def test_ignored_rows_and_the_orders_of_rows_and_negatives_do_not_matter(loss_and_twin):
    loss, _ = loss_and_twin
    (hidden, positive, negative), (labels, negatives), label_weight = example()
    value = loss(hidden, positive, negative, labels, negatives, label_weight=label_weight)
    rows, places = torch.randperm(len(labels)), torch.randperm(len(negative))
    shuffled = loss(
        hidden[rows],
        positive[rows],
        negative[places],
        labels[rows],
        Negatives(*(tensor[places] for tensor in negatives)),
        label_weight=label_weight[rows],
    )
    ignored = labels == IGNORE_INDEX
    hidden[ignored], positive[ignored] = 1e6, torch.nan
    padded = loss(hidden, positive, negative, labels, negatives, label_weight=label_weight)
    torch.testing.assert_close(shuffled, value)
    torch.testing.assert_close(padded, value)


def test_parts_of_a_batch_add_up_to_the_whole(loss_and_twin):
    loss, _ = loss_and_twin
    (hidden, positive, negative), (labels, negatives), label_weight = example()
    counted = label_weight[labels != IGNORE_INDEX]
    whole = loss(hidden, positive, negative, labels, negatives, label_weight=label_weight)
    parts = [
        loss(
            hidden[half],
            positive[half],
            negative,
            labels[half],
            negatives,
            label_weight=label_weight[half],
            total_weight=counted.sum().item(),
        )
        for half in (slice(13), slice(13, None))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_huge_scores_do_not_overflow(loss_and_twin):
    loss, _ = loss_and_twin
    vectors, others, _ = example(torch.float32)
    results = value_and_gradients(loss, [100 * tensor for tensor in vectors], *others)
    assert all(result.isfinite().all() for result in results)


def test_a_row_whose_negatives_are_all_its_label_has_the_positive_alone(loss_and_twin):
    loss, twin = loss_and_twin
    (hidden, positive, negative), (labels, negatives), _ = example()
    labels[:] = 5
    negatives = negatives._replace(items=torch.full_like(negatives.items, 5))
    found = value_and_gradients(loss, (hidden, positive, negative), labels, negatives)
    wanted = value_and_gradients(twin, (hidden, positive, negative), labels, negatives)
    torch.testing.assert_close(found[0], wanted[0])
    torch.testing.assert_close(found[1], wanted[1])
    assert found[3].abs().max() == 0


def test_sampled_softmax_against_the_whole_catalog_is_the_cross_entropy():
    item_weight = torch.randn(NUM_ITEMS, 6, dtype=torch.float64)
    hidden = torch.randn(40, 6, dtype=torch.float64)
    labels = torch.randint(NUM_ITEMS, (40,))
    labels[::5] = IGNORE_INDEX
    all_items = torch.randperm(NUM_ITEMS)
    once = Negatives(all_items, torch.zeros(NUM_ITEMS))

    def ours(hidden, item_weight):
        positive = item_weight[labels.clamp_min(0)]
        return sampled_softmax(hidden, positive, item_weight[all_items], labels, once, log_q=True)

    def torchs(hidden, item_weight):
        return F.cross_entropy(hidden @ item_weight.T, labels, ignore_index=IGNORE_INDEX)

    found = value_and_gradients(ours, (hidden, item_weight))
    wanted = value_and_gradients(torchs, (hidden, item_weight))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def of_log_3_against_0(loss, log_counts=(0.0,)):
    """A label that scores log 3 against as many negatives that score 0."""
    num_negatives = len(log_counts)
    return loss(
        torch.ones(1, 1),
        torch.full((1, 1), log(3)),
        torch.zeros(num_negatives, 1),
        torch.tensor([0]),
        Negatives(torch.arange(1, num_negatives + 1), torch.tensor(log_counts)),
    ).item()


def test_losses_by_hand():
    softmax = partial(sampled_softmax, log_q=False)
    assert of_log_3_against_0(softmax) == pytest.approx(log(4 / 3))
    # Expected twice and half a time: the partition function is 3 + 1/2 + 2.
    corrected = partial(sampled_softmax, log_q=True)
    assert of_log_3_against_0(corrected, (log(2), -log(2))) == pytest.approx(log(5.5 / 3))
    assert of_log_3_against_0(binary_cross_entropy) == pytest.approx((log(4 / 3) + log(2)) / 2)
    # One of two other items is drawn: alpha is 1/2, and half way from 1 to it lies 3/4.
    half_way = partial(gbce, num_items=3, t=0.5)
    assert of_log_3_against_0(half_way) == pytest.approx((0.75 * log(4 / 3) + log(2)) / 2)
    calibrated = partial(gbce, num_items=3, t=1.0)
    assert of_log_3_against_0(calibrated) == pytest.approx((0.5 * log(4 / 3) + log(2)) / 2)


def test_gbce_at_0_is_binary_cross_entropy():
    vectors, others, label_weight = example()
    found = gbce(*vectors, *others, num_items=NUM_ITEMS, t=0.0, label_weight=label_weight)
    wanted = binary_cross_entropy(*vectors, *others, label_weight=label_weight)
    torch.testing.assert_close(found, wanted)


def test_gbce_of_one_item_is_binary_cross_entropy():
    generator = torch.Generator().manual_seed(2)
    hidden, positive, negative = (torch.randn(n, 5, generator=generator) for n in (4, 4, 3))
    labels = torch.zeros(4, dtype=torch.long)
    drawn = Negatives(torch.zeros(3, dtype=torch.long), torch.zeros(3))
    arguments = hidden, positive, negative, labels, drawn
    found = gbce(*arguments, num_items=1, t=0.75)
    assert found.isfinite() and found == binary_cross_entropy(*arguments)


def test_calibrated_gbce_is_least_where_sigmoids_are_the_probabilities_of_items():
    """Each item is the label as often as it comes, and a negative of one draw in ten."""
    num_items, num_draws = 1000, 10
    probability = (2 * torch.randn(num_items, dtype=torch.float64)).softmax(0)
    scores = probability.logit()[:, None].requires_grad_()
    items = torch.arange(num_items)
    for drawn in torch.randperm(num_items).chunk(num_draws):
        loss = gbce(
            torch.ones_like(scores, requires_grad=False),
            scores,
            scores[drawn],
            items,
            Negatives(drawn, torch.zeros(len(drawn))),
            num_items=num_items,
            t=1.0,
            label_weight=probability,
        )
        (loss / num_draws).backward()
    # Of the two parts of a slope, that of the negatives is known; the other all but undoes it.
    of_negatives = probability * (1 - probability) / num_draws / (num_items / num_draws + 1)
    assert (scores.grad.squeeze(1).abs() / of_negatives).max() < 2 / num_items
