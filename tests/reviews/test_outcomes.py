"""Outcomes of reviews, which training and other tools read."""

import json

import pytest

import seqrec
from seqrec.cli import main
from seqrec.data.text_files import TextFiles
from seqrec.drafts.draft import read_drafts
from seqrec.errors import SeqRecError
from seqrec.reviews.desk import Desk
from seqrec.reviews.log import Review, ReviewLog
from seqrec.reviews.outcomes import gather_outcomes, measure_distance
from seqrec.tokens.text.examples import ExampleEncoder
from tests.language import build_byte_tokenizer
from tests.reviews.conftest import save, summary, tag


def review(draft, action, reviewer="ann", **more):
    return Review(reviewer, draft.draft_id, action, **more)


def test_an_edit_is_an_example_and_a_pair_of_its_distance():
    one = summary(1, "a b c d")
    found = gather_outcomes([one], [review(one, "edit", text="a b x d e")])
    assert [example.text for example in found.examples] == ["a b x d e"]
    (pair,) = found.pairs
    # 3 words in common of 4 and 5: 1 - 2 * 3 / 9
    assert (pair.chosen, pair.rejected, pair.why) == ("a b x d e", "a b c d", "edit")
    assert pair.weight == pytest.approx(1 - 6 / 9) == measure_distance("a b c d", "a b x d e")
    assert found.judgements == []
    words = " ".join(map(str, range(60)))
    tiny = summary(2, words)
    found = gather_outcomes([tiny], [review(tiny, "edit", text=words + " x")])
    assert found.pairs == [] and found.num_tiny_edits == 1 and len(found.examples) == 1


def test_an_accepted_beside_a_rejected_text_is_a_pair_and_alone_a_judgement():
    good, bad, alone = summary(1), summary(1, "Worse."), summary(2)
    reviews = [review(good, "accept"), review(bad, "reject", reasons=("tone",))]
    reviews += [review(alone, "reject", reasons=("clarity",))]
    found = gather_outcomes([good, bad, alone], reviews)
    assert [(one.chosen, one.rejected, one.why) for one in found.pairs] == [
        (good.text, "Worse.", "verdicts")
    ]
    assert [(one.draft, one.is_accepted) for one in found.judgements] == [(alone, False)]


def test_an_unfaithful_text_loses_to_the_template():
    one = summary(1)
    found = gather_outcomes([one], [review(one, "reject", reasons=("factuality",))])
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [(one.fallback, one.text)]


def test_two_drafts_that_are_rejected_at_once_are_both_judged_and_taken_back_together():
    one, other = summary(1), summary(1, "Another.")
    both = review(one, "reject", over=other.draft_id, reasons=("tone",))
    found = gather_outcomes([one, other], [both])
    assert [(single.draft, single.is_accepted) for single in found.judgements] == [
        (one, False),
        (other, False),
    ]
    taken_back = gather_outcomes([one, other], [both, review(one, "undo")])
    assert not taken_back.judgements
    template = summary(1, one.fallback)
    untrue = review(one, "reject", over=template.draft_id, reasons=("factuality",))
    assert not gather_outcomes([one, template], [untrue]).pairs


def test_preferences_that_contradict_and_ties_teach_nothing():
    one, other = summary(1), summary(1, "Another.")
    chosen = review(one, "prefer", over=other.draft_id)
    against = review(other, "prefer", "bob", over=one.draft_id)
    assert len(gather_outcomes([one, other], [chosen]).pairs) == 1
    found = gather_outcomes([one, other], [chosen, against])
    assert found.pairs == [] and found.num_disputed == 1
    found = gather_outcomes([one], [review(one, "accept"), review(one, "reject", "bob")])
    assert found.num_disputed == 1 and not (found.examples or found.judgements)


def test_reviews_of_changed_drafts_are_counted():
    one = summary(1)
    found = gather_outcomes([summary(1, "New.")], [review(one, "accept")])
    assert found.num_changed == 1 and found.examples == []


@pytest.fixture
def reviewed(folder):
    """Every action once, through the desk."""
    by_id = {one.item_id: one for one in read_drafts(folder / "drafts.parquet")}
    drafts = read_drafts(folder / "drafts.parquet")
    desk = Desk(folder)
    texts = {one.item_id: one for one in drafts if one.kind == "summary"}
    tags = {one.item_id: one for one in drafts if one.kind == "tag"}
    assert len(by_id) == 4
    desk.review(review(texts["m0"], "edit", text="A crew plans a robbery while a detective waits."))
    desk.review(review(texts["m1"], "accept"))
    desk.review(review(texts["m2"], "reject", reasons=("factuality", "tone")))
    desk.review(review(texts["m3"], "reject", reasons=("tone",)))
    desk.review(review(tags["m0"], "accept"))
    desk.review(review(tags["m2"], "edit", text="childhood"))
    return folder


def test_exports_are_read_by_the_text_jobs(reviewed, tmp_path):
    encoder = ExampleEncoder(build_byte_tokenizer(), "tiny", 512, "drop")
    lines = {}
    for name, number in (("sft", 2), ("pairs", 2), ("labels", 2)):
        result = seqrec.review(reviewed, export=tmp_path / f"{name}.jsonl")
        assert result["records"] == number
        files = TextFiles.open(tmp_path / f"{name}.jsonl")
        lines[name] = [record for _, record in files.records()]
    assert all(encoder.encode(one, "line") is not None for one in lines["sft"])
    assert all(encoder.encode_pair(one, "line") is not None for one in lines["pairs"])
    labels = [encoder.encode_pair(one, "line", is_labelled=True) for one in lines["labels"]]
    assert None not in labels and {one["label"] for one in lines["labels"]} == {True, False}
    with pytest.raises(SeqRecError, match="exists; name another"):
        seqrec.review(reviewed, export=tmp_path / "sft.jsonl")
    with pytest.raises(SeqRecError, match="says no form"):
        seqrec.review(reviewed, export=tmp_path / "all.jsonl")


def test_accepted_tags_become_a_column_of_items(reviewed, tmp_path):
    import polars as pl

    seqrec.review(reviewed, export=tmp_path / "tags.parquet")
    rows = {row["item_id"]: row for row in pl.read_parquet(tmp_path / "tags.parquet").to_dicts()}
    assert rows["m0"]["tags"] == ["heist"] and rows["m2"]["tags"] == ["childhood"]
    assert rows["m2"]["tag_sources"] == ["tagger; edit by ann"]
    log = pl.DataFrame(
        {"user_id": [1, 1, 2, 2] * 3, "item_id": ["m0", "m2", "m2", "m1"] * 3, "time": range(12)}
    )
    seqrec.prepare(log, out=tmp_path / "data", items=tmp_path / "tags.parquet", split_by="none")
    items = pl.read_parquet(tmp_path / "data" / "items.parquet")
    assert dict(items.select("item_id", "tags").iter_rows())["m0"] == ["heist"]
    assert "tag_sources" in items.columns


def test_what_label_studio_gets_comes_back(reviewed, tmp_path):
    file = tmp_path / "label-studio.json"
    seqrec.review(reviewed, export=file)
    tasks = json.loads(file.read_text())
    assert len(tasks) == 6 and sum(len(task["annotations"]) for task in tasks) == 6
    fresh = save(tmp_path / "fresh", read_drafts(reviewed / "drafts.parquet"))
    result = seqrec.review(fresh, import_from=file)
    assert (result["imported"], result["skipped"]) == (6, {})

    def gist(folder):
        found = ReviewLog(folder / "reviews.jsonl").reviews
        return {
            (one.reviewer, one.draft, one.action, one.text, frozenset(one.reasons)) for one in found
        }

    assert gist(fresh) == gist(reviewed)
    tasks[0]["data"]["draft_id"] = "gone"
    tasks[1]["annotations"] = []
    tasks[2]["annotations"] = [{"result": "broken"}]
    file.write_text(json.dumps(tasks))
    again = save(tmp_path / "again", read_drafts(reviewed / "drafts.parquet"))
    result = seqrec.review(again, import_from=file)
    assert result["imported"] == 3 and sum(result["skipped"].values()) == 3


def test_preference_pairs_come_back_as_edits_and_preferences(reviewed, tmp_path):
    seqrec.review(reviewed, export=tmp_path / "pairs.jsonl")
    drafts = read_drafts(reviewed / "drafts.parquet")
    fresh = save(tmp_path / "fresh", drafts)
    result = seqrec.review(fresh, import_from=tmp_path / "pairs.jsonl")
    reviews = ReviewLog(fresh / "reviews.jsonl").reviews
    assert result["imported"] == 2 and {one.action for one in reviews} == {"edit"}
    rival = [*drafts, summary(1, "A rival text.")]
    both = save(tmp_path / "both", rival)
    line = {
        "prompt": [dict(one) for one in rival[-1].prompt],
        "chosen": "A rival text.",
        "rejected": summary(1).text,
    }
    (tmp_path / "own.jsonl").write_text(json.dumps(line) + "\n")
    seqrec.review(both, import_from=tmp_path / "own.jsonl")
    (found,) = ReviewLog(both / "reviews.jsonl").reviews
    assert (found.action, found.draft) == ("prefer", rival[-1].draft_id)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: holds no drafts.parquet; name the folder of seqrec draft"),
        (["DIR", "--port", "99999"], "--port 99999:"),
        (["DIR", "--import", "none.json"], "none.json"),
        (["DIR", "--import", "x.json", "--export", "sft.jsonl"], "one at a time"),
    ],
)
def test_a_mistake_is_one_line(folder, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(["review", *[str(folder) if one == "DIR" else one for one in arguments]])
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and message in error and len(error.splitlines()) == 1


def test_a_tag_of_a_title_is_its_own_draft():
    assert tag(1, "a").draft_id != tag(1, "b").draft_id != tag(2, "b").draft_id
    assert summary(1).draft_id == summary(1, confidence=0.9, shown=3).draft_id
