"""Divergence from kept answers against a float64 twin, and what it is a bound of."""

import pytest
import torch

from seqrec.losses.divergence import catalog_divergence
from seqrec.losses.softmax import CatalogScores
from seqrec.losses.teachers import TopKDistribution, catalog_top_k
from seqrec.losses.top_k_divergence import top_k_divergence, without_tail


@pytest.fixture(autouse=True, params=[100, 7], ids=["one tile", "tiles of 7 items"])
def _tiles(request, monkeypatch):
    monkeypatch.setattr("seqrec.losses.softmax.TILE_ITEMS", request.param)


def scores(width=6, num_rows=12, num_items=31, dtype=torch.float64):
    hidden, weight = (torch.randn(n, width, dtype=dtype) for n in (num_rows, num_items))
    return CatalogScores(hidden, weight)


def by_definition(hidden, item_weight, kept, labels, label_share, row_weight):
    log_p = (hidden @ item_weight.T).log_softmax(1)
    of_kept = log_p.gather(1, kept.items)
    values = (kept.log_prob.exp() * (kept.log_prob - of_kept)).sum(1)
    of_rest = log_p.scatter(1, kept.items, -torch.inf).logsumexp(1)
    values = values + torch.xlogy(kept.tail_mass, kept.tail_mass) - kept.tail_mass * of_rest
    values = (1 - label_share) * values - label_share * log_p.gather(1, labels[:, None])[:, 0]
    return (row_weight * values).sum() / row_weight.sum()


@pytest.mark.parametrize("label_share", [0.0, 0.3])
@pytest.mark.parametrize("use_tail_mass", [True, False])
def test_value_and_gradients_equal_the_float64_twin(label_share, use_tail_mass):
    student = scores()
    kept = catalog_top_k([scores(9)], 5, chunk_size=4)
    kept = kept if use_tail_mass else without_tail(kept)
    labels, row_weight = torch.randint(31, (12,)), torch.rand(12, dtype=torch.float64)
    found, wanted = [], []
    for loss, values in ((top_k_divergence, found), (by_definition, wanted)):
        inputs = [part.clone().requires_grad_() for part in student[:2]]
        if loss is top_k_divergence:
            more = {"label_share": label_share, "row_weight": row_weight, "chunk_size": 5}
            value = loss(CatalogScores(*inputs), kept, labels=labels, **more)
        else:
            value = loss(*inputs, kept, labels, label_share, row_weight)
        (2 * value).backward()
        values += [value.detach(), *(part.grad for part in inputs)]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_it_is_a_bound_that_is_reached_where_everything_is_kept():
    student, teacher = scores(), scores(9)
    whole = catalog_divergence(student, [teacher])
    values = [top_k_divergence(student, catalog_top_k([teacher], k)) for k in (1, 5, 20, 31)]
    assert all(a <= b + 1e-12 for a, b in zip(values, [*values[1:], whole], strict=True))
    torch.testing.assert_close(values[-1], whole)


def test_the_likeliest_items_of_a_mean_of_teachers_by_definition():
    teachers = [scores(9), scores(4)]
    q = sum((t.hidden @ t.item_weight.T).softmax(1) for t in teachers) / 2
    items, log_prob, tail_mass = catalog_top_k(teachers, 6, chunk_size=5)
    wanted = q.topk(6, dim=1)
    assert torch.equal(items, wanted.indices)
    torch.testing.assert_close(log_prob.exp(), wanted.values)
    torch.testing.assert_close(tail_mass, 1 - wanted.values.sum(1))


def test_a_sure_teacher_and_a_sure_student_give_finite_gradients():
    hidden = (100 * torch.eye(3)).requires_grad_()
    kept = TopKDistribution(
        torch.tensor([[0], [1], [0]]), torch.zeros(3, 1), torch.tensor([0.0, 1e-8, 0.0])
    )
    top_k_divergence(CatalogScores(hidden, torch.eye(3)), kept).backward()
    assert torch.isfinite(hidden.grad).all()
    assert hidden.grad[2, 0] < 0 < hidden.grad[2, 2]


@pytest.mark.parametrize("sharpness", [1, 4, 8])
def test_bfloat16_is_as_near_to_the_truth_as_the_naive_bfloat16(sharpness):
    """Also where the student is so sure of the kept items that next to nothing is left."""
    student = scores(32, 300, 500, torch.float32)
    student = student._replace(item_weight=student.item_weight / 5)
    teacher = CatalogScores(student.hidden * sharpness / 2, student.item_weight)
    kept = catalog_top_k([teacher], 20)
    student = student._replace(hidden=student.hidden * sharpness)
    labels, weight = torch.randint(500, (300,)), torch.rand(300)

    def value_and_gradients(loss, dtype=torch.float32):
        inputs = [part.to(dtype, copy=True).requires_grad_() for part in student[:2]]
        value = loss(*inputs)
        value.backward()
        return [value.detach(), *(part.grad for part in inputs)]

    def ours(hidden, item_weight):
        more = {"labels": labels, "label_share": 0.1, "row_weight": weight}
        return top_k_divergence(CatalogScores(hidden, item_weight), kept, **more)

    def naive(hidden, item_weight):
        return by_definition(hidden, item_weight, kept, labels, 0.1, weight)

    truth = value_and_gradients(naive, torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        found, plain = value_and_gradients(ours), value_and_gradients(naive)
    for exact, our, their in zip(truth, found, plain, strict=True):
        our_error, their_error = (
            (one.double() - exact).abs().max() / exact.abs().max() for one in (our, their)
        )
        assert our_error <= 2 * their_error + 2e-3
