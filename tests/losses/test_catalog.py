"""Catalog losses against their float64 twins, and their properties."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from seqrec.losses.catalog import IGNORE_INDEX, catalog_cross_entropy


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


LOSSES = {
    "cross_entropy": (partial(catalog_cross_entropy, chunk_size=7), naive_cross_entropy),
    "cross_entropy, one chunk": (
        partial(catalog_cross_entropy, chunk_size=1000),
        naive_cross_entropy,
    ),
}


@pytest.fixture(params=LOSSES.values(), ids=LOSSES.keys())
def loss_and_twin(request):
    return request.param


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
