"""Requests in words over HTTP against the library's answers to them."""

import pytest

from seqrec.builders.text_search import build_text_search
from seqrec.ranking.explained import Explainer
from seqrec.ranking.explained_requests import answer_explained
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.served import Reading
from seqrec.search.lexicon import Lexicon

WORDS = "a comedy after 2000 like Amélie"


@pytest.fixture
def ask(client):
    """A function that sends a request in words and returns its list."""

    def send(**body):
        response = client.post("/recommend", json=body)
        assert response.status_code == 200, response.text
        (found,) = response.json()["lists"]
        return found

    return send


def test_a_request_in_words_is_answered_as_by_the_library(ask, recommender):
    search = build_text_search(recommender.serve())
    found = ask(text=WORDS, history=["t3"], k=7, exclude=["t61"])
    options = ListRequest(["t3"], 7)
    wanted = search.answer(WORDS, options)
    assert found["request"] == wanted["request"] and found["understood"] == wanted["understood"]
    assert found["request"]["items"] == ["t7"] and found["request"]["text"] == ""
    assert found["request"]["where"] == "genres contains 'comedy' AND year > 2000"
    listed = [row["item_id"] for row in found["recommendations"]]
    assert "t61" not in listed
    assert (
        listed[:5]
        == [row["item_id"] for row in wanted["recommendations"] if row["item_id"] != "t61"][:5]
    )
    assert [one["item_id"] for one in found["history"]] == ["t3", "t7"]


def test_soft_words_count_and_what_fits_in_part_says_so(ask, recommender):
    search = build_text_search(recommender.serve())
    for text in ("something about a film called 42", "a comedy from 2047 and 2048"):
        wanted, found = search.answer(text, ListRequest([], 4)), ask(text=text, k=4)
        for own, other in zip(found["recommendations"], wanted["recommendations"], strict=True):
            assert own["item_id"] == other["item_id"]
            assert own["score"] == pytest.approx(other["score"], rel=1e-4)
            assert own.get("without") == other.get("without")
        assert found["notes"] == wanted["notes"]


def test_soft_words_have_a_weight(ask, recommender):
    search = build_text_search(recommender.serve())
    text, reading = "something about a film called 42", Reading({}, plan=False, guidance=3.0)
    wanted = search.answer(text, ListRequest(["t3"], 4, reading=reading))["recommendations"]
    found = ask(text=text, history=["t3"], k=4, guidance=3)["recommendations"]
    assert [row["item_id"] for row in found] == [row["item_id"] for row in wanted]
    scores = [row["score"] for row in wanted]
    assert [row["score"] for row in found] == pytest.approx(scores, rel=1e-4)
    assert ask(text=text, history=["t3"], k=4)["recommendations"][0]["score"] < scores[0]


def test_a_conversation_is_kept_by_the_client(ask):
    first = ask(text="a comedy after 2000", k=4)
    shown = [row["item_id"] for row in first["recommendations"]]
    second = ask(text="like the second one", previous=first["request"], shown=shown)
    assert second["request"]["items"] == [shown[1]]
    assert second["request"]["conditions"] == first["request"]["conditions"]
    same = ask(text="", previous=first["request"], k=4)
    assert [row["item_id"] for row in same["recommendations"]] == shown
    edited = first["request"] | {
        "conditions": [{"column": "year", "operator": "<=", "value": 1953, "is_excluded": False}]
    }
    found = ask(previous=edited, k=4)
    years = {f"t{item}": 1950 + item for item in range(100)}
    assert [years[row["item_id"]] <= 1953 for row in found["recommendations"]] == [True] * 4
    assert found["request"]["where"] == "year <= 1953"


@pytest.mark.parametrize(
    ("body", "status", "cause"),
    [
        ({"text": "x", "histories": [["t1"]]}, 422, "leave out histories"),
        ({"shown": ["t1"], "history": []}, 422, "shown: goes with previous"),
        ({"text": "x" * 2001}, 422, "text"),
        ({"text": "a comedy", "guidance": 2}, 400, "guidance: weighs a condition"),
        ({"previous": {"conditions": [["year", "=", 1]]}}, 422, "previous.conditions.0"),
        ({"previous": {"trusted": True}}, 422, "previous.trusted"),
        (
            {"previous": {"conditions": [{"column": "year", "operator": "||", "value": 1}]}},
            422,
            "operator",
        ),
        (
            {"previous": {"conditions": [{"column": "no", "operator": "=", "value": 1}]}},
            400,
            "no such column",
        ),
        (
            {
                "previous": {
                    "conditions": [
                        {"column": 'a" || lpad("title', "operator": "=", "value": 1},
                    ]
                }
            },
            400,
            "no such column",
        ),
    ],
)
def test_what_is_no_reading_is_refused(client, body, status, cause):
    refused = client.post("/recommend", json=body)
    assert refused.status_code == status and cause in refused.json()["detail"], refused.text


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_items_are_explained_under_the_request_that_listed_them(client, recommender, guidance):
    """The library explains while it lists; the server, from the reading that it gave out."""
    text, history = "a comedy about a film called 42, like Amélie", ["t3"]
    body = {"history": history, "text": text, "k": 5, "guidance": guidance}
    (found,) = client.post("/recommend", json=body).json()["lists"]
    asked = ListRequest(history, 5, reading=Reading({}, plan=False, guidance=guidance))
    served = recommender.serve()
    wanted = answer_explained(build_text_search(served), text, asked, Explainer(served))
    rows = wanted["recommendations"]
    ids = [row["item_id"] for row in found["recommendations"]]
    assert ids == [row["item_id"] for row in rows]
    body = {"history": history, "item_ids": ids, "previous": found["request"], "sentences": True}
    answer = client.post("/explain", json={**body, "guidance": guidance})
    assert answer.status_code == 200, answer.text
    for item, row in zip(answer.json()["items"], rows, strict=True):
        assert item["explanation"]["sentence"] == row["explanation"]["sentence"]
        assert item["explanation"]["wishes"] == row["explanation"]["wishes"]
        assert item["score"] == pytest.approx(row["score"], rel=1e-4)
        assert [one["item_id"] for one in item["titles"]] == ["t3", "t7"]
    assert any("comedy" in row["explanation"]["wishes"] for row in rows)
    assert any(one["is_asked"] for row in rows for one in row["explanation"]["because"])


def test_a_weight_of_nothing_is_refused_in_explanations_too(client):
    body = {"history": ["t3"], "item_ids": ["t5"], "guidance": 2}
    for previous in ({}, {"previous": {"items": ["t7"]}}):
        refused = client.post("/explain", json={**body, **previous})
        assert refused.status_code == 400 and "guidance" in refused.json()["detail"]


def test_conditions_without_words_are_said_by_column_and_value(client):
    conditions = [
        {"column": "genres", "operator": "contains", "value": "comedy"},
        {"column": "year", "operator": "<=", "value": 1953},
        {"column": "year", "operator": "=", "value": 1903, "is_excluded": True},
    ]
    body = {"history": [], "previous": {"conditions": conditions}}
    (found,) = client.post("/recommend", json={**body, "k": 3}).json()["lists"]
    ids = [row["item_id"] for row in found["recommendations"]]
    answer = client.post("/explain", json={**body, "item_ids": ids, "sentences": True})
    why = answer.json()["items"][0]["explanation"]
    assert why["wishes"] == ["comedy", "years up to 1953", "not year 1903"]
    assert why["sentence"].endswith(
        "fits your request for comedy, years up to 1953 and not year 1903."
    )


def test_words_and_explanations_share_the_names_of_the_catalog(client, ask, monkeypatch):
    built, build = [], Lexicon.build

    def build_and_count(items):
        built.append(len(items))
        return build(items)

    monkeypatch.setattr(Lexicon, "build", build_and_count)
    ask(text=WORDS)
    body = {"history": ["t3"], "item_ids": ["t7"], "sentences": True}
    for _ in range(2):
        explained = client.post("/explain", json=body)
        assert explained.status_code == 200, explained.text
    ask(text=WORDS, history=["t5"])
    assert built == [100]
