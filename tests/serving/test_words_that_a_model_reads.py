"""Requests in words over HTTP to a model with two heads, which reads them itself."""

from functools import partial

import pytest

from seqrec.jobs.served_folders import load_model
from seqrec.ranking.recommender import Recommender
from seqrec.serving.served_models import ModelSlot
from seqrec.tokens.tokenizer import item_token
from tests.serving.conftest import slot_for
from tests.two_heads import write_two_headed

TEXT = f"I liked {item_token('t5')}, something lighter?"


@pytest.fixture(scope="module")
def two_headed(tmp_path_factory):
    return write_two_headed(tmp_path_factory.mktemp("two") / "model")


@pytest.fixture
def ask(two_headed, open_client):
    """A function that sends a request and returns its list."""
    client = open_client([slot_for(two_headed)])

    def send(**body):
        response = client.post("/recommend", json={"k": 6, **body})
        assert response.status_code == 200, response.text
        (found,) = response.json()["lists"]
        return found

    send.client = client
    return send


def ids(found):
    return [row["item_id"] for row in found["recommendations"]]


@pytest.mark.parametrize(
    ("text", "history"), [(TEXT, None), (None, ["t3"]), (TEXT, ["t3", "two words"])]
)
def test_texts_histories_and_both_are_answered_as_by_the_library(ask, two_headed, text, history):
    recommender = Recommender.from_pretrained(two_headed)
    given = None if history is None else [history]
    (wanted,) = recommender.recommend(given, text=text, k=6)
    body = {"text": text, "history": history}
    found = ask(**{key: value for key, value in body.items() if value is not None})
    assert ids(found) == [item_id for item_id, _ in wanted]
    scores = [row["score"] for row in found["recommendations"]]
    assert scores == pytest.approx([score for _, score in wanted], abs=1e-4)
    if text is not None:
        named = [*(history or []), "t5"]
        assert [one["item_id"] for one in found["history"]] == named
        assert found["request"]["text"] == text and found["fallback"] is None


def test_turns_are_read_together_and_a_reading_filters(ask):
    first = ask(text=TEXT, history=["t3"])
    whole = ask(text=f"{TEXT}\nnot so long", history=["t3"])
    second = ask(text="not so long", previous=first["request"], history=["t3"])
    assert ids(second) == ids(whole) and second["request"] == whole["request"]
    again = ask(previous=first["request"], text="", history=["t3"])
    assert ids(again) == ids(first)
    condition = {"column": "title", "operator": "=", "value": "Film t9", "is_excluded": False}
    assert ids(ask(previous={"text": TEXT, "conditions": [condition]})) == ["t9"]
    alone = ask(previous={"items": ["t3"], "conditions": []})
    assert ids(alone) == ids(ask(history=["t3"]))
    listed = ids(first)
    assert not {*listed[:2]} & {*ids(ask(text=TEXT, history=["t3"], exclude=listed[:2]))}


def test_what_cannot_be_read_is_refused(ask):
    for body, cause in (
        ({"text": "日" * 1900, "history": ["t3"]}, "tokens with its history"),
        ({"text": TEXT, "features": {"rating": 5}}, "reads items only"),
        ({"text": TEXT, "plan": True}, "has learned no features"),
    ):
        refused = ask.client.post("/recommend", json=body)
        assert refused.status_code == 400 and cause in refused.json()["detail"], refused.text


@pytest.mark.parametrize(("retrieval", "engine"), [("hnsw", "torch"), ("flat", "onnx")])
def test_texts_are_ranked_exactly_whatever_serves_histories(
    ask, two_headed, open_client, retrieval, engine
):
    slot = ModelSlot("film", 1.0, partial(load_model, "film", two_headed, None, retrieval, engine))
    client = open_client([slot])
    body = {"k": 6, "text": TEXT, "history": ["t3"]}
    (found,) = client.post("/recommend", json=body).json()["lists"]
    assert ids(found) == ids(ask(text=TEXT, history=["t3"]))
