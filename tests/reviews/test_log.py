"""The log of reviews: appended, synchronised, and whole after a kill at any moment."""

import os
import signal
import subprocess
import sys

import pytest

from seqrec.errors import SeqRecError
from seqrec.reviews.decisions import find_last, find_standing, measure_agreement, settle
from seqrec.reviews.log import Review, ReviewLog


def review(action="accept", draft="d1", reviewer="ann", **more):
    return Review(reviewer, draft, action, **more)


def test_what_is_appended_is_read_again(tmp_path):
    log = ReviewLog(tmp_path / "reviews.jsonl")
    given = [review(), review("edit", text="new\nline ✂"), review("reject", reasons=("tone",))]
    for one in given:
        log.append(one)
    again = ReviewLog(tmp_path / "reviews.jsonl")
    assert again.reviews == given and again.num_broken == 0


def test_an_unfinished_line_is_skipped_and_nothing_is_glued_to_it(tmp_path):
    file = tmp_path / "reviews.jsonl"
    ReviewLog(file).append(review())
    whole = file.read_bytes()
    for cut in range(1, len(whole)):
        file.write_bytes(whole + whole[:cut])
        log = ReviewLog(file)
        log.append(review(draft="d2"))
        drafts = [one.draft for one in ReviewLog(file).reviews]
        assert drafts in (["d1", "d2"], ["d1", "d1", "d2"])
        assert drafts == ["d1", "d2"] or cut == len(whole) - 1


def test_a_kill_in_the_middle_loses_no_review_that_was_acknowledged(tmp_path):
    file = tmp_path / "reviews.jsonl"
    code = (
        "import sys; from pathlib import Path; from seqrec.reviews.log import Review, ReviewLog\n"
        "log = ReviewLog(Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    log.append(Review('ann', f'd{n}', 'accept')); print(n, flush=True); n += 1\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE)
    acknowledged = [int(child.stdout.readline()) for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    acknowledged += [int(one) for one in rest]
    drafts = [one.draft for one in ReviewLog(file).reviews]
    assert drafts[: len(acknowledged)] == [f"d{number}" for number in acknowledged]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reviewer": " "}, "a name"),
        ({"action": "love"}, "choose from accept"),
        ({"action": "edit"}, "the text is empty"),
        ({"action": "edit", "text": "x" * 20_001}, "at most"),
        ({"action": "reject", "reasons": ("mood",)}, "choose from tone"),
        ({"action": "prefer"}, "the draft that was not chosen"),
        ({"action": "accept", "over": "other"}, "goes with prefer and reject alone"),
        ({"action": "reject", "over": "d1"}, "names another draft"),
    ],
)
def test_a_review_of_another_form_is_refused(fields, message):
    with pytest.raises(SeqRecError, match=message):
        review(**fields)


def test_the_last_review_counts_and_undo_takes_it_back():
    reviews = [review("reject"), review("accept"), review("accept", "d2"), review("undo", "d2")]
    assert [(one.draft, one.action) for one in find_standing(reviews)] == [("d1", "accept")]
    assert find_last(reviews, "ann").action == "accept"
    reviews.append(review("undo", "d1"))
    assert [one.action for one in find_standing(reviews)] == ["reject"]
    reviews.append(review("undo", "d1"))
    assert find_standing(reviews) == [] and find_last(reviews, "ann") is None
    assert find_last([review(), review("accept", "d2", "bob")], "ann").draft == "d1"


def test_kappa_is_cohens():
    # Cohen's example form: 20 drafts, 12 both accept, 4 both reject, 3 and 1 apart
    both = [("accept", "accept")] * 12 + [("reject", "reject")] * 4
    both += [("accept", "reject")] * 3 + [("reject", "accept")]
    reviews = []
    for number, actions in enumerate(both):
        for name, action in zip(("ann", "bob"), actions, strict=True):
            reviews.append(review(action, f"d{number}", name))
    (found,) = measure_agreement(reviews)
    chance = (15 / 20) * (13 / 20) + (5 / 20) * (7 / 20)
    assert found.observed == 0.8 and found.num_drafts == 20
    assert found.kappa == pytest.approx((0.8 - chance) / (1 - chance))
    (same,) = measure_agreement([review(), review(reviewer="bob")])
    assert same.kappa is None and same.observed == 1


def test_most_reviewers_settle_a_draft_and_a_tie_settles_nothing():
    votes = {"a": review("accept"), "b": review("reject"), "c": review("reject")}
    assert settle(votes).action == "reject"
    votes.pop("c")
    assert settle(votes) is None
