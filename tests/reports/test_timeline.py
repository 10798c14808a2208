"""Seconds by hand, and a picture that opens."""

import io

import pytest
from matplotlib.image import imread

from seqrec.reports.timeline import stage_seconds, timeline

EVENTS = [
    {"stage": "generate", "role": "workers", "update": 0, "start": 0.0, "end": 2.0},
    {"stage": "score", "role": "reward", "update": 0, "start": 1.5, "end": 3.0},
    {"stage": "update", "role": "learner", "update": 0, "start": 3.5, "end": 4.0},
    {"stage": "generate", "role": "workers", "update": 1, "start": 4.0, "end": 5.0},
]


def test_seconds_of_stages_and_of_idleness():
    found = stage_seconds(EVENTS)
    assert found == pytest.approx({"generate": 3.0, "score": 1.5, "update": 0.5, "idle": 0.5})


def test_a_timeline_is_a_picture():
    assert imread(io.BytesIO(timeline(EVENTS))).shape[2] == 4
