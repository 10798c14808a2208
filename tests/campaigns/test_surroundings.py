"""A short run of the campaign of surroundings."""

from tests.campaigns.runner import failures, run_campaign
from tests.campaigns.surroundings import judge


def test_commands_in_hostile_surroundings_end_in_one_line_or_well():
    assert not failures(run_campaign(judge, range(2), seed=0))
