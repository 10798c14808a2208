"""The load of the benchmarks, which compares every answer, against a server in this process."""

import json
from dataclasses import replace

from benchmarks.serving.checked_load import run_load
from benchmarks.serving.world import Exchange, K
from tests.serving.browsing import run_in_thread
from tests.serving.conftest import slot_for


def test_right_and_wrong_answers_are_counted(folder, recommender):
    histories = [recommender.item_ids[start : start + 4] for start in range(6)]
    lists = recommender.recommend(histories, k=2 * K)
    right = [
        Exchange(json.dumps({"history": history, "k": K}).encode(), tuple(pairs))
        for history, pairs in zip(histories, lists, strict=True)
    ]
    with run_in_thread([slot_for(folder)]) as url:
        port = int(url.rpartition(":")[2])
        closed = run_load(port, right, connections=8, seconds=0.4)
        answered = closed.statuses[200]
        assert answered > 20 and len(closed.seconds) == sum(closed.versions.values()) == answered
        assert (closed.wrong, closed.lost, closed.refused_connections) == (0, 0, 0)
        open_loop = run_load(port, right, connections=4, seconds=0.4, per_second=50)
        assert 15 <= open_loop.statuses[200] <= 20 and len(open_loop.judged) >= 6
        other = [replace(one, expected=right[0].expected) for one in right[1:]]
        wrong = run_load(port, other, connections=2, seconds=0.2)
        assert wrong.wrong == wrong.statuses[200] > 0
    gone = run_load(port, right, connections=1, seconds=0.1)
    assert gone.refused_connections > 0 and not gone.statuses
