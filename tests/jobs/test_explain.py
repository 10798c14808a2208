"""``seqrec recommend --explain``: facts, counts of the data, requests, and a model's words."""

import json

import pytest

import seqrec
from seqrec.cli import main
from seqrec.errors import SeqRecError
from tests.jobs.test_recommend import made  # noqa: F401
from tests.language import save_tiny_llama

HISTORY = ["1003", "1010", "1017"]


def count_soon_after(data, first, second):
    """Times that an item is among the five after another in a user's training part, by hand."""
    from seqrec.data.prepared import PreparedData

    prepared, times = PreparedData.open(data), 0
    ids = prepared.items()["item_id"].to_list()
    histories = prepared.histories()
    for start, end in zip(histories.offsets, histories.offsets[1:], strict=False):
        part = [ids[item] for item in histories.items[start : end - 2]]
        times += sum(
            other == second
            for at, one in enumerate(part)
            if one == first
            for other in part[at + 1 : at + 6]
        )
    return times


def test_every_row_says_why_and_counts_are_those_of_the_data(made):  # noqa: F811
    plain = seqrec.recommend(made / "run", history=HISTORY, k=4)
    result = seqrec.recommend(made / "run", history=HISTORY, k=4, explain=True, data=made / "data")
    without = [
        {name: value for name, value in row.items() if name != "explanation"}
        for row in result["recommendations"]
    ]
    assert without == plain["recommendations"]
    for row in result["recommendations"]:
        why = row["explanation"]
        assert why["rank"] == row["rank"] and why["source"] == "template"
        assert why["because"] and {one["item_id"] for one in why["because"]} <= set(HISTORY)
        for cause in why["because"]:
            times = count_soon_after(made / "data", cause["item_id"], row["item_id"])
            found = cause["followed"]
            assert (0 if found is None else found["times"]) in (times, 0)
    without_data = seqrec.recommend(made / "run", history=HISTORY, k=4, explain=True)
    causes = [
        one for row in without_data["recommendations"] for one in row["explanation"]["because"]
    ]
    assert all(one["followed"] is None for one in causes)


def test_a_request_is_a_part_of_the_reason(made):  # noqa: F811
    result = seqrec.recommend(
        made / "run", text='a comedy like "title 1003"', history=["1010"], k=3, explain=True
    )
    for row in result["recommendations"]:
        why = row["explanation"]
        assert ("without" in row) != (why["wishes"] == ["comedy"])
        asked = [one["item_id"] for one in why["because"] if one["is_asked"]]
        assert set(asked) <= {"1003"}


def test_a_model_words_the_facts_and_the_template_stands_in(made, tmp_path, capsys):  # noqa: F811
    folder = save_tiny_llama(tmp_path / "tiny")
    arguments = ["recommend", str(made / "run"), "--history", ",".join(HISTORY), "--k", "2"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--explain-with", str(folder), "--json"])
    assert ended.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert result["wording"]["by_model"] + result["wording"]["by_template"] == 2
    assert result["wording"]["by_template"] == 2 and result["wording"]["drafts"] == 6
    with pytest.raises(SystemExit):
        main([*arguments, "--explain"])
    printed = capsys.readouterr().out
    assert all(row["explanation"]["sentence"] in printed for row in result["recommendations"])


@pytest.mark.parametrize(
    "options",
    [{"similar_to": "1003"}, {"histories": [HISTORY]}, {"history": HISTORY, "index": "x"}],
)
def test_what_cannot_be_explained_is_one_line(made, options):  # noqa: F811
    with pytest.raises(SeqRecError, match="--explain goes with --history and --text"):
        seqrec.recommend(made / "run", explain=True, **options)
