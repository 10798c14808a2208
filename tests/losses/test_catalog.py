"""Catalog losses against their float64 twins, and their properties."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from seqrec.losses.catalog import IGNORE_INDEX, catalog_cross_entropy
from seqrec.losses.chunks import MAX_CHUNK_LOGITS, MIN_CHUNK_ROWS, chunk_rows
from seqrec.losses.log_prob import catalog_log_prob


def naive_cross_entropy(hidden, item_weight, labels, *, label_weight=None):
    """The whole matrix of logits, row by row, as the definition says."""
    log_probabilities = torch.log_softmax(hidden @ item_weight.T, dim=1)
    total, weights = hidden.new_zeros(()), 0.0
    for row, label in enumerate(labels.tolist()):
        weight = 1.0 if label_weight is None else float(label_weight[row])
        if label != IGNORE_INDEX and weight > 0:
            total = total - weight * log_probabilities[row, label]
            weights += weight
    return total / weights if weights else total


def from_log_probabilities(hidden, item_weight, labels, *, label_weight=None, logit_bias=None):
    """The cross-entropy once more, by way of ``catalog_log_prob``."""
    weight = torch.ones(len(labels)) if label_weight is None else label_weight
    weight = (weight * (labels != IGNORE_INDEX)).to(hidden.dtype)
    counted = weight > 0
    more = {"logit_bias": logit_bias, "chunk_size": 7}
    found = catalog_log_prob(hidden[counted], item_weight, labels[counted], **more)
    return -(weight[counted] * found).sum() / weight.sum().clamp_min(1e-30)


LOSSES = {
    "cross_entropy": (partial(catalog_cross_entropy, chunk_size=7), naive_cross_entropy),
    "cross_entropy, one chunk": (
        partial(catalog_cross_entropy, chunk_size=1000),
        naive_cross_entropy,
    ),
    "log_prob": (from_log_probabilities, naive_cross_entropy),
}


@pytest.fixture(params=LOSSES.values(), ids=LOSSES.keys())
def loss_and_twin(request):
    return request.param


@pytest.fixture(autouse=True, params=["one tile", "tiles of 7 items"])
def _tiles(request, monkeypatch):
    """The catalog is scored whole, or in tiles of which the last is smaller."""
    if request.param != "one tile":
        monkeypatch.setattr("seqrec.losses.softmax.TILE_ITEMS", 7)


def example(dtype=torch.float64, num_rows=40, num_items=31, width=6):
    hidden = torch.randn(num_rows, width, dtype=dtype)
    item_weight = torch.randn(num_items, width, dtype=dtype)
    labels = torch.randint(num_items, (num_rows,))
    labels[::5] = IGNORE_INDEX
    label_weight = torch.rand(num_rows)
    label_weight[1::7] = 0
    return hidden, item_weight, labels, label_weight


def value_and_gradients(loss, hidden, item_weight, labels, **more):
    hidden, item_weight = (
        tensor.detach().clone().requires_grad_() for tensor in (hidden, item_weight)
    )
    value = loss(hidden, item_weight, labels, **more)
    (3 * value).backward()
    return value.detach(), hidden.grad, item_weight.grad


@pytest.mark.parametrize("is_weighted", [False, True])
def test_value_and_gradients_equal_the_float64_twin(loss_and_twin, is_weighted):
    loss, twin = loss_and_twin
    hidden, item_weight, labels, label_weight = example()
    more = {"label_weight": label_weight} if is_weighted else {}
    found = value_and_gradients(loss, hidden, item_weight, labels, **more)
    wanted = value_and_gradients(twin, hidden, item_weight, labels, **more)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_float32_is_as_near_to_the_truth_as_the_naive_float32(loss_and_twin):
    loss, twin = loss_and_twin
    hidden, item_weight, labels, _ = example(num_rows=300, num_items=500, width=32)
    truth = value_and_gradients(twin, hidden, item_weight, labels)
    naive = value_and_gradients(twin, hidden.float(), item_weight.float(), labels)
    found = value_and_gradients(loss, hidden.float(), item_weight.float(), labels)
    for exact, plain, ours in zip(truth, naive, found, strict=True):
        scale = exact.abs().max()
        plain_error = (plain.double() - exact).abs().max() / scale
        our_error = (ours.double() - exact).abs().max() / scale
        assert our_error <= 2 * plain_error + 1e-6


def test_a_batch_in_which_nothing_counts_is_0_with_a_zero_gradient(loss_and_twin):
    loss, _ = loss_and_twin
    hidden, item_weight, labels, label_weight = example()
    for case in (
        {"labels": torch.full_like(labels, IGNORE_INDEX)},
        {"labels": labels, "label_weight": torch.zeros_like(label_weight)},
    ):
        value, *gradients = value_and_gradients(loss, hidden, item_weight, **case)
        assert value == 0
        assert all(gradient.abs().max() == 0 for gradient in gradients)


def test_ignored_rows_and_the_order_of_rows_do_not_matter(loss_and_twin):
    loss, _ = loss_and_twin
    hidden, item_weight, labels, label_weight = example()
    value = loss(hidden, item_weight, labels, label_weight=label_weight)
    order = torch.randperm(len(labels))
    shuffled = loss(hidden[order], item_weight, labels[order], label_weight=label_weight[order])
    hidden[labels == IGNORE_INDEX] = 1e6
    padded = loss(hidden, item_weight, labels, label_weight=label_weight)
    torch.testing.assert_close(shuffled, value)
    torch.testing.assert_close(padded, value)


def test_huge_logits_do_not_overflow(loss_and_twin):
    loss, _ = loss_and_twin
    hidden, item_weight, labels, _ = example(torch.float32)
    results = value_and_gradients(loss, 1e4 * hidden, item_weight, labels)
    assert all(result.isfinite().all() for result in results)


def test_cross_entropy_of_two_items_by_hand():
    hidden = torch.tensor([[1.0], [1.0]])
    item_weight = torch.tensor([[0.0], [torch.log(torch.tensor(3.0))]])
    loss = partial(catalog_cross_entropy, hidden, item_weight, chunk_size=1)
    first, second = torch.log(torch.tensor(4.0)), torch.log(torch.tensor(4 / 3))
    torch.testing.assert_close(loss(torch.tensor([0, 1])), (first + second) / 2)
    weighted = loss(torch.tensor([0, 1]), label_weight=torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(weighted, (3 * first + second) / 4)


def test_cross_entropy_equals_torchs_own():
    hidden, item_weight, labels, _ = example()
    found = catalog_cross_entropy(hidden, item_weight, labels, chunk_size=8)
    wanted = F.cross_entropy(hidden @ item_weight.T, labels, ignore_index=IGNORE_INDEX)
    torch.testing.assert_close(found, wanted)


def test_no_array_of_rows_by_items_is_held():
    rows, items = 128, 1000
    hidden = torch.randn(rows, 4, requires_grad=True)
    item_weight = torch.randn(items, 4, requires_grad=True)
    labels = torch.randint(items, (rows,))

    def largest_array(loss):
        with torch.profiler.profile(profile_memory=True) as profile:
            loss(hidden, item_weight, labels).backward()
        return max(event.cpu_memory_usage for event in profile.events()) / hidden.itemsize

    assert largest_array(naive_cross_entropy) >= rows * items
    assert largest_array(partial(catalog_cross_entropy, chunk_size=8)) < rows * items / 8


@pytest.mark.parametrize("size", [1, 20])
def test_bfloat16_is_as_near_to_the_truth_as_the_naive_bfloat16(loss_and_twin, size):
    """Small logits, whose exponentials are taken as they are, and large ones, which are shifted."""
    loss, twin = loss_and_twin
    hidden, item_weight, labels, _ = example(num_rows=300, num_items=500, width=32)
    hidden, item_weight = (size * hidden).float(), item_weight.float() / 5
    truth = value_and_gradients(twin, hidden.double(), item_weight.double(), labels)
    with torch.autocast("cpu", torch.bfloat16):
        naive = value_and_gradients(twin, hidden, item_weight, labels)
        found = value_and_gradients(loss, hidden, item_weight, labels)
    for exact, plain, ours in zip(truth, naive, found, strict=True):
        assert ours.dtype == torch.float32
        plain_error, our_error = (
            (one.double() - exact).abs().max() / exact.abs().max() for one in (plain, ours)
        )
        assert our_error <= 2 * plain_error + 1e-3


def test_parts_of_a_batch_under_its_total_weight_add_up_to_the_whole():
    hidden, item_weight, labels, label_weight = example()
    loss = partial(catalog_cross_entropy, chunk_size=7)
    whole = loss(hidden, item_weight, labels, label_weight=label_weight)
    total = float(label_weight[labels != IGNORE_INDEX].sum())
    parts = [
        loss(
            hidden[part],
            item_weight,
            labels[part],
            label_weight=label_weight[part],
            total_weight=total,
        )
        for part in (slice(0, 13), slice(13, None))
    ]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-6, atol=0)


def test_log_probabilities_of_a_catalog_sum_to_one_and_carry_any_gradient():
    hidden, item_weight, _, _ = example(num_rows=4, num_items=6)
    rows = torch.arange(4).repeat_interleave(6)
    items = torch.arange(6).repeat(4)
    hidden.requires_grad_()
    found = catalog_log_prob(hidden[rows], item_weight, items, chunk_size=5).view(4, 6)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(4, dtype=torch.float64))
    upstream = torch.randn(4, 6, dtype=torch.float64)
    (ours,) = torch.autograd.grad(found, hidden, upstream)
    naive = torch.log_softmax(hidden @ item_weight.T, dim=1)
    torch.testing.assert_close(ours, torch.autograd.grad(naive, hidden, upstream)[0])


@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_bias_is_added_to_the_logits_of_every_chunk_and_tile(
    loss_and_twin, is_weighted, monkeypatch
):
    monkeypatch.setattr("seqrec.losses.softmax.TILE_ITEMS", 12)
    loss, twin = loss_and_twin
    hidden, item_weight, labels, label_weight = example()
    more = {"label_weight": label_weight} if is_weighted else {}
    counted = (labels != IGNORE_INDEX) & ((label_weight > 0) | (not is_weighted))
    bias = torch.randn(len(labels), len(item_weight), dtype=torch.float64)
    bias[0, 0] = 1e3

    def biased_twin(hidden, item_weight, labels, **more):
        """The bias as further columns of the hidden states, with a one-hot row an item."""
        beside = torch.eye(len(item_weight), dtype=torch.float64)
        return twin(
            torch.cat([hidden, bias], 1), torch.cat([item_weight, beside], 1), labels, **more
        )

    def ours(hidden, item_weight, labels, **more):
        kept = bias[counted]
        return loss(hidden, item_weight, labels, logit_bias=lambda r, t: kept[r, t], **more)

    found = value_and_gradients(ours, hidden, item_weight, labels, **more)
    wanted = value_and_gradients(biased_twin, hidden, item_weight, labels, **more)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_rows_are_chunked_by_what_fits_and_never_too_few():
    cpu = torch.device("cpu")
    assert chunk_rows(10_000, 1_000, cpu) * 1_000 <= MAX_CHUNK_LOGITS["cpu"]
    assert chunk_rows(640, 10_000_000, cpu) == MIN_CHUNK_ROWS
    assert chunk_rows(MIN_CHUNK_ROWS + 2, 10_000_000, cpu) == MIN_CHUNK_ROWS / 2 + 1
    assert chunk_rows(0, 0, cpu) == 1


@pytest.mark.parametrize("has_bias", [False, True])
def test_several_labels_a_row_equal_as_many_rows(has_bias):
    hidden, item_weight, _, _ = example()
    labels = torch.randint(31, (40, 3))
    labels[::3, 1] = IGNORE_INDEX
    labels[5] = IGNORE_INDEX
    label_weight = torch.rand(40, 3)
    label_weight[1::7, 0] = 0
    counted = ((labels != IGNORE_INDEX) & (label_weight > 0)).any(dim=1)
    bias = torch.randn(int(counted.sum()), 31, dtype=torch.float64)
    logits_bias = torch.zeros(40, 31, dtype=torch.float64)
    more = {}
    if has_bias:
        more["logit_bias"] = lambda rows, tile: bias[rows, tile]
        logits_bias[counted] = bias

    def twin(hidden, item_weight, labels, *, label_weight, **_):
        log_probabilities = torch.log_softmax(hidden @ item_weight.T + logits_bias, dim=1)
        weight = label_weight.double() * (labels != IGNORE_INDEX)
        return -(weight * log_probabilities.gather(1, labels.clamp_min(0))).sum() / weight.sum()

    arguments = hidden, item_weight, labels
    loss = partial(catalog_cross_entropy, chunk_size=7)
    found = value_and_gradients(loss, *arguments, label_weight=label_weight, **more)
    wanted = value_and_gradients(twin, *arguments, label_weight=label_weight)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_log_probabilities_of_several_items_a_row():
    hidden, item_weight, _, _ = example()
    items, upstream = torch.randint(31, (40, 4)), torch.randn(40, 4, dtype=torch.float64)

    def of(log_prob):
        def loss(hidden, item_weight, items):
            return (upstream * log_prob(hidden, item_weight, items)).sum()

        return value_and_gradients(loss, hidden, item_weight, items)

    found = of(partial(catalog_log_prob, chunk_size=7))
    wanted = of(lambda h, w, i: torch.log_softmax(h @ w.T, dim=1).gather(1, i))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.1, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_label_smoothing_is_that_of_torch_in_value_and_gradient(smoothing, dtype):
    hidden = torch.randn(40, 8, dtype=dtype)
    item_weight = torch.randn(30, 8, dtype=dtype)
    labels = torch.randint(30, (40,))
    labels[::7] = IGNORE_INDEX
    ours = [hidden.clone().requires_grad_(), item_weight.clone().requires_grad_()]
    theirs = [hidden.clone().requires_grad_(), item_weight.clone().requires_grad_()]
    found = catalog_cross_entropy(*ours, labels, chunk_size=7, label_smoothing=smoothing)
    logits = theirs[0] @ theirs[1].T
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_label_smoothing_counts_weights_and_several_labels():
    """It is the mix of the labels' loss and that of labels drawn evenly from the catalog."""
    hidden, item_weight = torch.randn(20, 8), torch.randn(12, 8)
    labels, weight = torch.randint(12, (20, 3)), torch.rand(20, 3)
    found = catalog_cross_entropy(
        hidden, item_weight, labels, label_weight=weight, label_smoothing=0.3
    )
    minus_log = -torch.log_softmax(hidden @ item_weight.T, dim=1)
    each = 0.7 * minus_log.gather(1, labels) + 0.3 * minus_log.mean(dim=1, keepdim=True)
    torch.testing.assert_close(found, (weight * each).sum() / weight.sum())
