"""A few seeded cases of the campaign of kills."""

from tests.campaigns.kills import judge
from tests.campaigns.runner import failures, run_campaign


def test_killed_runs_end_as_whole_ones():
    cases = run_campaign(judge, range(3), seed=1299)
    assert not failures(cases), failures(cases)
