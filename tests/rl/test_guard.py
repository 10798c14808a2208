"""The guard's arithmetic."""

import pytest

from seqrec.rl.guard import Guard, KLCoefficient


def guard(**changes):
    limits = {
        "max_kl_nats": 0.2,
        "tolerance": 0.05,
        "metric": "ndcg@10",
        "max_rollbacks": 1,
    }
    made = Guard(**(limits | changes))
    made.start(0.1)
    return made


def test_good_weights_stay_within_both_limits():
    assert guard().judge(0.2, 0.095).is_good
    spent = guard().judge(0.21, 0.2)
    assert not spent.is_good and "0.210 nats per item, above the limit of 0.2" in spent.reason
    fallen = guard().judge(0.0, 0.0949)
    assert not fallen.is_good and "ndcg@10 fell to 0.0949, below 0.0950" in fallen.reason


@pytest.mark.parametrize("found", [(float("nan"), 0.1), (0.1, float("nan"))])
def test_what_is_not_a_number_is_not_good(found):
    assert not guard().judge(*found).is_good


def test_it_goes_on_as_often_as_it_may():
    one = guard()
    assert one.roll_back() and not one.roll_back()
    other = guard()
    other.load_state_dict(one.state_dict())
    assert not other.roll_back()


def test_a_penalty_follows_the_drift():
    fixed = KLCoefficient(0.1, None)
    fixed.adapt(9.0)
    assert fixed.value == 0.1
    adaptive = KLCoefficient(0.1, 0.1)
    adaptive.adapt(0.11)
    assert adaptive.value == pytest.approx(0.1 * 1.05)
    adaptive.adapt(5.0)
    assert adaptive.value == pytest.approx(0.1 * 1.05 * 1.1)
    adaptive.adapt(float("nan"))
    adaptive.adapt(0.0)
    assert adaptive.value == pytest.approx(0.1 * 1.05 * 1.1 * 0.9)
