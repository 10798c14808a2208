"""The answers of the server against those of the library."""

import numpy as np
import pytest


def post(client, path, **body):
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_lists_are_those_of_recommend_with_titles_and_the_model(client, recommender):
    histories = [["t3", "t5", "t9"], ["t0"], ["t7"] * 30]
    answer = post(client, "/recommend", histories=histories, k=7)
    expected = recommender.recommend(histories, k=7)
    for found, pairs, history in zip(answer["lists"], expected, histories, strict=True):
        rows = found["recommendations"]
        assert [row["item_id"] for row in rows] == [item_id for item_id, _ in pairs]
        assert [row["score"] for row in rows] == pytest.approx([score for _, score in pairs])
        assert [row["rank"] for row in rows] == list(range(1, 8))
        assert [one["item_id"] for one in found["history"]] == history
    titles = dict(zip(recommender.item_ids, recommender.titles, strict=True))
    rows = [row for found in answer["lists"] for row in found["recommendations"]]
    assert all(row["title"] == titles[row["item_id"]] for row in rows)
    assert answer["model"]["name"] == "film"
    assert answer["model"]["fingerprint"] == recommender.fingerprint


@pytest.mark.parametrize(
    "rules",
    [
        {"exclude_seen": False},
        {"allow": ["t1", "t2", "t50"]},
        {"exclude": [f"t{item}" for item in range(50, 100)]},
        {"candidates": ["t3", "t4", "t90"]},
        {"where": "genres contains 'comedy' AND year > 2000"},
        {"mmr": 0.5},
        {"max_per": ["genres:2"]},
        {"pin": ["t3:2", "t60"]},
    ],
    ids=lambda rules: next(iter(rules)),
)
def test_every_rule_means_what_it_means_in_recommend(client, recommender, rules):
    answer = post(client, "/recommend", history=["t3", "t5"], k=5, **rules)
    (expected,) = recommender.recommend([["t3", "t5"]], k=5, **rules)
    rows = answer["lists"][0]["recommendations"]
    assert [(row["item_id"], row["score"]) for row in rows] == [
        (item_id, pytest.approx(score)) for item_id, score in expected
    ]


def test_what_a_log_would_say_is_in_the_answer(client):
    history = ["t3", "nobody", {"item_id": "t5", "mood": "good"}, 7]
    (found,) = post(client, "/recommend", history=history, allow=["t9", "no"])["lists"]
    assert [one["item_id"] for one in found["history"]] == ["t3", "t5"]
    assert found["unknown_items"] == ["nobody", "7"]
    assert found["unknown_features"] == ["mood"]
    assert found["notes"] == ["--allow: 1 items are not in the catalog, 'no' first"]
    assert found["fallback"] is None
    (found,) = post(client, "/recommend", history=["nobody"], k=2)["lists"]
    assert found["fallback"] == "most watched in training"
    assert [row["item_id"] for row in found["recommendations"]] == ["t99", "t98"]


def test_scores_come_in_the_order_of_the_items(client, recommender):
    wanted = ["t90", "zz", "t3", "t4"]
    answer = post(client, "/score", histories=[["t3"], ["t4", "t5"]], item_ids=wanted)
    assert answer["unknown_item_ids"] == ["zz"]
    expected = recommender.recommend([["t3"], ["t4", "t5"]], candidates=["t90", "t3", "t4"])
    for found, pairs in zip(answer["lists"], expected, strict=True):
        assert [row["item_id"] for row in found["scores"]] == ["t90", "t3", "t4"]
        scores = {row["item_id"]: pytest.approx(row["score"]) for row in found["scores"]}
        assert scores == dict(pairs)


def test_similar_items_are_the_nearest_by_cosine(client, recommender):
    vectors = recommender.item_vectors()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit[7]
    cosines[7] = -2
    answer = post(client, "/similar", item_id="t7", k=3)
    assert answer["similar_to"] == {"item_id": "t7", "title": "Amélie (2001)"}
    nearest = [f"t{item}" for item in np.argsort(-cosines)[:3]]
    assert [row["item_id"] for row in answer["recommendations"]] == nearest


def test_items_are_found_by_id_by_beginnings_of_words_and_misspelt(client):
    def find(**query):
        return [item["item_id"] for item in client.get("/items", params=query).json()["items"]]

    assert find(id=["t7", "no", "t3"]) == ["t7", "t3"]
    assert find(q="AMEL") == ["t7"]
    assert find(q="ameile")[0] == "t7"
    assert find(q="film 4", limit=3) == ["t49", "t48", "t47"]
    assert find(q="<script>") == ["t8"]
    assert find(limit=2) == ["t99", "t98"]
    shown = client.get("/items", params={"id": "t8"}).json()["items"][0]
    assert shown == {
        "item_id": "t8",
        "title": "<script>alert(1)</script>",
        "genres": ["drama"],
        "year": 1958,
        "num_interactions": 8,
    }


@pytest.mark.parametrize(
    ("path", "body", "status", "line"),
    [
        ("/recommend", {}, 422, "body: give history, or histories"),
        ("/recommend", {"history": ["t1"], "kk": 1}, 422, "kk: extra inputs are not permitted"),
        ("/recommend", {"history": ["t1"], "k": 0}, 422, "k: input should be greater"),
        ("/recommend", {"history": ["t1"], "where": "yeer > 3"}, 400, "where yeer > 3: no such"),
        ("/recommend", {"history": ["t1"], "model": "b"}, 400, "model b: not served; choose"),
        ("/recommend", {"history": ["t1"], "features": {"rating": 5}}, 400, "condition rating"),
        ("/similar", {"item_id": "zz"}, 400, "similar-to zz: not in the catalog"),
    ],
)
def test_a_mistake_is_answered_with_one_line(client, path, body, status, line):
    response = client.post(path, json=body)
    assert response.status_code == status
    answer = response.json()
    assert answer["detail"].startswith(line) and "\n" not in answer["detail"]
    assert answer["request_id"] == response.headers["x-request-id"]


def test_the_page_of_the_interface_needs_no_other_site_and_shows_every_route(client):
    page = client.get("/docs")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text and "http" not in page.text.replace("http-equiv", "")
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page.text
    assert "genres contains" in page.text
