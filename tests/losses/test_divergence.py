"""Divergences over the catalog against float64 twins, and their properties."""

import pytest
import torch

from seqrec.losses.divergence import catalog_divergence, row_divergences
from seqrec.losses.softmax import CatalogScores

KINDS = ["forward_kl", "reverse_kl", "jensen_shannon"]


@pytest.fixture(autouse=True, params=["one tile", "tiles of 7 items"])
def _tiles(request, monkeypatch):
    """The catalog is scored whole, or in tiles of which the last is smaller."""
    if request.param != "one tile":
        monkeypatch.setattr("seqrec.losses.softmax.TILE_ITEMS", 7)


def scores(width=6, dtype=torch.float64, num_rows=20, num_items=31, has_bias=False):
    bias = torch.randn(num_rows, num_items, dtype=dtype)
    bias[:, ::4] = -1e4
    return CatalogScores(
        torch.randn(num_rows, width, dtype=dtype),
        torch.randn(num_items, width, dtype=dtype),
        (lambda rows, tile: bias[rows, tile]) if has_bias else None,
    )


def log_softmax(scores, temperature):
    logits = scores.hidden @ scores.item_weight.T
    if scores.logit_bias is not None:
        logits = logits + scores.logit_bias(slice(None), slice(None))
    return torch.log_softmax(logits / temperature, dim=1)


def kl(log_a, log_b):
    return (log_a.exp() * (log_a - log_b)).nan_to_num(0).sum(dim=1)


def naive_rows(student, teachers, *, kind="forward_kl", share=0.5, temperature=1.0):
    """The whole matrices, as the definitions say."""
    log_p = log_softmax(student, temperature)
    q = sum(log_softmax(teacher, temperature).exp() for teacher in teachers) / len(teachers)
    log_q = q.clamp_min(1e-300).log()
    if kind == "forward_kl":
        return kl(log_q, log_p)
    if kind == "reverse_kl":
        return kl(log_p, log_q)
    log_m = (share * q + (1 - share) * log_p.exp()).clamp_min(1e-300).log()
    return share * kl(log_q, log_m) + (1 - share) * kl(log_p, log_m)


def naive(student, teachers, *, row_weight=None, **more):
    rows = naive_rows(student, teachers, **more) * more.get("temperature", 1.0) ** 2
    weight = torch.ones(len(rows)) if row_weight is None else row_weight
    return (weight * rows).sum() / weight.sum()


def value_and_gradients(loss, student, *arguments, **more):
    hidden, item_weight = (
        tensor.detach().clone().requires_grad_() for tensor in (student.hidden, student.item_weight)
    )
    value = loss(CatalogScores(hidden, item_weight, student.logit_bias), *arguments, **more)
    (3 * value).backward()
    return value.detach(), hidden.grad, item_weight.grad


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("num_teachers", [1, 3])
def test_value_and_gradients_equal_the_float64_twin(kind, temperature, num_teachers):
    student, teachers = scores(), [scores(width) for width in (9, 4, 6)[:num_teachers]]
    more = {"kind": kind, "temperature": temperature, "share": 0.3}
    more["row_weight"] = torch.rand(20, dtype=torch.float64) * (torch.arange(20) % 3 > 0)
    found = value_and_gradients(catalog_divergence, student, teachers, chunk_size=7, **more)
    wanted = value_and_gradients(naive, student, teachers, **more)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_teachers_whose_probabilities_fall_out_of_range_are_averaged(kind):
    """Of float32; in float64 they are within it."""
    student, teachers = scores(), [scores(width) for width in (9, 4)]
    more = {"kind": kind, "temperature": 0.05, "share": 0.3}
    wanted = value_and_gradients(naive, student, teachers, **more)
    assert log_softmax(teachers[0], 0.05).min() < -120
    single = [
        CatalogScores(of.hidden.float(), of.item_weight.float()) for of in (student, *teachers)
    ]
    found = value_and_gradients(catalog_divergence, single[0], single[1:], **more)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_items_that_a_bias_leaves_out_of_both_add_nothing(kind):
    student = scores(has_bias=True)
    teacher = scores(8)._replace(logit_bias=student.logit_bias)
    found = value_and_gradients(catalog_divergence, student, [teacher], kind=kind, chunk_size=7)
    wanted = value_and_gradients(naive, student, [teacher], kind=kind)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert found[2][::4].abs().max() < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_divergences_one_by_one(kind):
    student, teacher = scores(), scores(4)
    found = row_divergences(student, [teacher], kind=kind, share=0.2, chunk_size=6)
    torch.testing.assert_close(found, naive_rows(student, [teacher], kind=kind, share=0.2))
    assert (found > 0).all()
    same = row_divergences(student, [student, student], kind=kind)
    torch.testing.assert_close(same, torch.zeros_like(same), atol=1e-12, rtol=0)


def test_of_two_items_by_hand():
    """p = (1/4, 3/4), q = (1/2, 1/2): the divergences are sums of two logarithms."""
    one = torch.ones(1, 1, dtype=torch.float64)
    log3 = torch.log(torch.tensor(3.0, dtype=torch.float64))
    student = CatalogScores(one, torch.stack([0 * log3, log3])[:, None])
    teacher = CatalogScores(one, torch.zeros(2, 1, dtype=torch.float64))
    forward = 0.5 * torch.log(torch.tensor(2.0)) + 0.5 * torch.log(torch.tensor(2 / 3))
    reverse = 0.25 * torch.log(torch.tensor(0.5)) + 0.75 * torch.log(torch.tensor(1.5))
    for kind, wanted in (("forward_kl", forward), ("reverse_kl", reverse)):
        found = catalog_divergence(student, [teacher], kind=kind)
        torch.testing.assert_close(found.float(), wanted)


def test_the_ends_of_jensen_shannon_vanish_and_its_slopes_are_the_two_divergences():
    """Agarwal et al.: the divergence over its share tends to the forward and reverse KL."""
    student, teacher = (s._replace(hidden=s.hidden / 4) for s in (scores(), scores(4)))
    for share, kind in ((1e-8, "forward_kl"), (1 - 1e-8, "reverse_kl")):
        near = row_divergences(student, [teacher], kind="jensen_shannon", share=share)
        wanted = row_divergences(student, [teacher], kind=kind)
        torch.testing.assert_close(near / min(share, 1 - share), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_as_near_to_the_truth_as_the_naive_bfloat16(kind):
    student, teacher = (
        scores(32, torch.float32, num_rows=300, num_items=500)._replace() for _ in range(2)
    )
    student, teacher = (s._replace(item_weight=s.item_weight / 5) for s in (student, teacher))
    double = [
        s._replace(hidden=s.hidden.double(), item_weight=s.item_weight.double())
        for s in (student, teacher)
    ]
    truth = value_and_gradients(naive, double[0], [double[1]], kind=kind)
    with torch.autocast("cpu", torch.bfloat16):
        plain = value_and_gradients(naive, student, [teacher], kind=kind)
        found = value_and_gradients(catalog_divergence, student, [teacher], kind=kind)
    for exact, theirs, ours in zip(truth, plain, found, strict=True):
        assert ours.dtype == torch.float32
        their_error, our_error = (
            (one.double() - exact).abs().max() / exact.abs().max() for one in (theirs, ours)
        )
        assert our_error <= 2 * their_error + 2e-3


def test_no_array_of_rows_by_items_is_held():
    student = scores(4, torch.float32, num_rows=128, num_items=1000)
    student.hidden.requires_grad_(), student.item_weight.requires_grad_()
    teacher = scores(4, torch.float32, num_rows=128, num_items=1000)

    def largest_array(loss, **more):
        with torch.profiler.profile(profile_memory=True) as profile:
            loss(student, [teacher], **more).backward()
        return max(event.cpu_memory_usage for event in profile.events()) / 4

    assert largest_array(naive) >= 128 * 1000
    assert largest_array(catalog_divergence, chunk_size=8) < 128 * 1000 / 8


def test_no_row_that_counts_is_0_with_a_zero_gradient():
    value, *gradients = value_and_gradients(
        catalog_divergence, scores(), [scores()], row_weight=torch.zeros(20)
    )
    assert value == 0
    assert all(gradient.abs().max() == 0 for gradient in gradients)
