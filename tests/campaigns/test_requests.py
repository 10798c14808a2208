"""A short run of the campaign of mutated requests."""

from tests.campaigns.requests import build_judge
from tests.campaigns.runner import failures, run_campaign


def test_no_mutated_request_ends_in_anything_but_an_answer_or_one_line(tmp_path):
    cases = run_campaign(build_judge(tmp_path), range(120), seed=int(1e6))
    assert not failures(cases)
    assert {case.result for case in cases} == {"right", "refused"}
