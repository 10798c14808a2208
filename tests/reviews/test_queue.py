"""The order of review: uncertain and often shown first, a tenth twice, two of a prompt together."""

from seqrec.reviews.log import Review
from seqrec.reviews.queue import find_task, is_seen_twice, measure_priority
from tests.reviews.conftest import summary, tag


def test_uncertain_and_often_shown_drafts_come_first():
    assert measure_priority(tag(0, "x", 0.5)) > measure_priority(tag(0, "x", 0.9))
    assert measure_priority(tag(0, "x", 0.9)) == measure_priority(tag(0, "x", 0.1))
    assert measure_priority(tag(0, "x", shown=500)) > measure_priority(tag(0, "x", shown=5))


def test_a_tenth_of_the_drafts_is_judged_by_two_reviewers():
    drafts = [tag(number, f"tag {number}") for number in range(400)]
    share = sum(map(is_seen_twice, drafts)) / len(drafts)
    assert 0.06 < share < 0.14
    reviews = [Review("ann", one.draft_id, "accept") for one in drafts]
    seen = []
    while (task := find_task(drafts, reviews, "bob")) is not None:
        assert task.is_second_look
        seen.append(task.drafts[0])
        reviews.append(Review("bob", task.drafts[0].draft_id, "accept"))
    assert seen == [one for one in drafts if is_seen_twice(one)]
    assert find_task(drafts, reviews, "cid") is None and find_task(drafts, reviews, "ann") is None


def test_two_drafts_of_one_prompt_are_shown_together():
    one, other, alone = summary(1), summary(1, "Another text."), summary(2)
    task = find_task([one, alone, other], [], "ann")
    assert task.drafts == (one, other)
    chosen = Review("ann", other.draft_id, "prefer", over=one.draft_id)
    assert find_task([one, alone, other], [chosen], "ann").drafts == (alone,)
    assert find_task([tag(1, "a"), tag(1, "b")], [], "ann").drafts == (tag(1, "a"),)


def test_what_one_skips_another_judges():
    one = summary(1)
    skipped = [Review("ann", one.draft_id, "skip")]
    assert find_task([one], skipped, "ann") is None
    assert find_task([one], skipped, "bob").drafts == (one,)
