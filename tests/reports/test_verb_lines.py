"""The lines that verbs print."""

from seqrec.reports.verb_lines import recommendation_lines


def test_what_a_request_leaves_out_is_said_once():
    answer = {
        "recommendations": [{"rank": 1, "item_id": "a", "score": 1.0}],
        "k": 1,
        "understood": 'about "rain"; not understood: not zany',
        "request": {"notes": ["not understood: not zany"]},
        "notes": ["not understood: not zany", "only 1 of the items fulfil x; others fulfil a part"],
    }
    lines = recommendation_lines(answer)
    assert lines[1:] == [
        'understood: about "rain"; not understood: not zany',
        "only 1 of the items fulfil x; others fulfil a part",
    ]
