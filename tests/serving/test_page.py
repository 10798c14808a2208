"""Answers to the requests of the page, against the library and the log."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.data.prepared import PreparedData
from seqrec.jobs.page_evaluation import read_evaluation
from seqrec.jobs.served_folders import load_model
from seqrec.ranking.evidence import find_evidence
from seqrec.ranking.explained import Explainer
from seqrec.ranking.served import Reading
from seqrec.serving.page_files import FOLDER, PAGE_FILES, POLICY
from seqrec.serving.page_sources import PageSources
from tests.serving.conftest import slot_for


def simulate_log() -> pl.DataFrame:
    """Ten users who watch t0 to t11 in turn, each from another one on."""
    rows = [
        {"user": f"user {user}", "item": f"t{(user + step) % 12}", "time": 10_000 * user + step}
        for user in range(10)
        for step in range(12)
    ]
    return pl.DataFrame(rows)


@pytest.fixture
def prepared(tmp_path):
    seqrec.prepare(simulate_log(), out=tmp_path / "data")
    return PreparedData.open(tmp_path / "data")


def test_the_page_is_its_files_under_a_strict_policy(client):
    for path, file in PAGE_FILES.items():
        response = client.get(path)
        assert response.status_code == 200 and response.content == file.content
        assert response.headers["content-security-policy"] == POLICY
        assert response.headers["content-type"] == file.media_type
    assert "unsafe" not in POLICY and "http" not in POLICY
    for path in ("/page/../guard.py", "/page/%2e%2e/guard.py", "/page/", "/page/none.js"):
        assert client.get(path).status_code == 404


def test_no_file_holds_markup_from_strings_or_an_address_of_others():
    for file in FOLDER.iterdir():
        text = file.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        addresses = set(re.findall(r"https?://[^\"'`\s)]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file.name
    assert not re.search(
        r"<script(?![^>]*\ssrc=)|\son\w+=|style=", PAGE_FILES["/"].content.decode()
    )


def test_the_page_needs_no_token_and_its_answers_do(folder, open_client):
    client = open_client([slot_for(folder)], token="a-long-secret-token")
    assert all(client.get(path).status_code == 200 for path in PAGE_FILES)
    for path in (
        "/genres",
        "/log/users",
        "/log/user?id=1",
        "/evaluation",
        "/models",
        "/openapi.json",
    ):
        assert client.get(path).status_code == 401
    headers = {"authorization": "Bearer a-long-secret-token"}
    assert client.get("/genres", headers=headers).status_code == 200


def test_genres_are_counted_in_the_catalog(client):
    assert client.get("/genres").json() == {
        "genres": [{"name": "drama", "items": 100}, {"name": "comedy", "items": 50}]
    }


def test_without_data_and_evaluation_there_is_nothing_to_show(client):
    assert client.get("/log/users").json() == {"num_users": 0, "examples": []}
    assert client.get("/evaluation").json() == {"columns": [], "rows": [], "notes": []}
    assert client.get("/log/user", params={"id": "1"}).status_code == 404


def test_users_are_those_of_the_log_with_their_parts(folder, open_client, prepared):
    client = open_client([slot_for(folder)], sources=PageSources(prepared))
    users = client.get("/log/users").json()
    assert users["num_users"] == 10 and sorted(users["examples"]) == sorted(
        f"user {user}" for user in range(10)
    )
    watched = client.get("/log/user", params={"id": "user 3"}).json()["watched"]
    assert [one["item_id"] for one in watched] == [f"t{(3 + step) % 12}" for step in range(12)]
    assert [one["part"] for one in watched] == ["training"] * 10 + ["validation", "test"]
    assert client.get("/log/user", params={"id": "nobody"}).status_code == 404


def test_evidence_is_that_of_the_library(folder, recommender, open_client, prepared):
    client = open_client([slot_for(folder)], sources=PageSources(prepared))
    history, wanted = ["t3", "t4", "t7"], ["t5", "t90", "no"]
    answer = client.post("/explain", json={"history": history, "item_ids": wanted}).json()
    assert answer["unknown_item_ids"] == ["no"]
    assert answer["counting"] == {"max_steps": 5, "is_weighted": False}
    reading = Reading({}, plan=False)
    expected = find_evidence(recommender.serve(), history, np.array([5, 90]), reading)
    for found, own in zip(answer["items"], expected, strict=True):
        assert (found["rank"], found["score"]) == (own.rank, pytest.approx(own.score))
        for title, evidence in zip(found["titles"], own.titles, strict=True):
            assert title["item_id"] == f"t{evidence.title}"
            assert title["rank_without"] == evidence.without.rank
            assert title["factor"] == pytest.approx(evidence.without.factor)
            assert title["cosine"] == pytest.approx(evidence.cosine, abs=1e-6)
    assert answer["items"][0]["titles"][2]["title"] == "Amélie (2001)"
    # t5 is among the five after t4 for each who watches t4 and t5 in the first ten titles
    log = simulate_log().with_row_index()
    pairs = 0
    for _, own in log.group_by("user"):
        items = own["item"].to_list()[:10]
        pairs += sum("t5" in items[n + 1 : n + 6] for n, one in enumerate(items) if one == "t4")
    followed = answer["items"][0]["titles"][1]["followed"]
    assert followed["weight"] == pairs and 0 < followed["share"] <= 1
    assert answer["items"][1]["titles"][0]["followed"] is None
    assert answer["items"][0]["explanation"] is None


def test_sentences_are_those_of_the_library(folder, recommender, open_client):
    client = open_client([slot_for(folder)])
    history, wanted = ["t3", "t4", "t7"], ["t5", "t90"]
    body = {"history": history, "item_ids": wanted, "sentences": True}
    answer = client.post("/explain", json=body).json()
    items, reading = np.array([5, 90]), Reading({}, plan=False)
    expected = Explainer(recommender.serve()).explain(history, items, reading)
    for found, own in zip(answer["items"], expected, strict=True):
        why = found["explanation"]
        assert why["sentence"] == own.sentence
        assert [one["title"] for one in why["because"]] == [one.title for one in own.facts.causes]
    many = {**body, "item_ids": ["t5"] * 11}
    assert client.post("/explain", json=many).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        ({"history": ["t1"]}, 422, "item_ids: field required"),
        ({"history": ["t1"], "item_ids": ["t2"] * 51}, 422, "item_ids: list should have at most"),
        ({"history": ["t1"], "item_ids": ["t2"], "model": "b"}, 400, "model b: not served"),
        ({"history": [{"x": 1}], "item_ids": ["t2"]}, 400, "history: event {'x': 1} has no"),
    ],
)
def test_a_mistake_is_answered_with_one_line(client, body, status, line):
    response = client.post("/explain", json=body)
    assert response.status_code == status and response.json()["detail"].startswith(line)


def test_the_table_of_an_evaluation_is_its_numbers_as_text(tmp_path, prepared):
    result = seqrec.evaluate(["popularity"], data=prepared.path, out=tmp_path / "judged", k=[5])
    shown = read_evaluation(tmp_path / "judged")
    (row,) = shown["rows"]
    cells = dict(zip(shown["columns"], row, strict=True))
    assert cells["system"] == "popularity"
    assert cells["recall@5"].startswith(f"{result['rows'][0]['recall@5']:.4f} (")
    assert result["protocol"] in shown["notes"]
    with pytest.raises(
        seqrec.SeqRecError, match="metrics.json: No such file; write one with seqrec eval"
    ):
        read_evaluation(Path(prepared.path))


def test_models_are_computed_by_onnx_on_request(folder, open_client, recommender):
    slot = slot_for(folder)
    by_onnx = load_model("film", folder, None, "flat", "onnx")
    slot._load = lambda: by_onnx
    client = open_client([slot])
    answer = client.post("/recommend", json={"history": ["t3", "t5"], "k": 5}).json()
    (expected,) = recommender.recommend([["t3", "t5"]], k=5)
    rows = answer["lists"][0]["recommendations"]
    assert [row["item_id"] for row in rows] == [item_id for item_id, _ in expected]
    assert type(by_onnx.served.ranker).__name__ == "OnnxRecommender"
