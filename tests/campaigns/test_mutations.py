"""A short run of the campaign of mutated inputs, and its watchdog."""

import numpy as np
import pytest

from tests.campaigns import misbehaving
from tests.campaigns.mutations import build_judge
from tests.campaigns.runner import failures, run_campaign
from tests.campaigns.watchdog import Watched, judge_line


def test_no_mutated_input_ends_in_anything_but_a_result_or_one_line(tmp_path):
    cases = run_campaign(build_judge(tmp_path), range(150), seed=int(1e6))
    assert not failures(cases)
    assert {case.result for case in cases} == {"right", "refused"}


def test_the_watchdog_survives_what_it_watches(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.campaigns.watchdog.MAX_SECONDS", 3)
    watched, generator = Watched(misbehaving.build), np.random.default_rng(0)
    expected = {
        "hang": ("wrong", "no end after 3 s"),
        "die": ("wrong", "the process died: 3"),
        "fail": ("traceback", "KeyError"),
        "take_memory": ("traceback", "MemoryError"),
        "refuse": ("refused", "one line"),
    }
    for kind, (result, detail) in expected.items():
        verdict = watched.judge(kind, generator, tmp_path)
        assert verdict.result == result and detail in verdict.detail
    watched.close()


@pytest.mark.parametrize("line", ["", "a\nb", "x" * 1001])
def test_a_line_that_is_none_or_long_is_wrong(line):
    assert judge_line(line)[0] == "wrong"
