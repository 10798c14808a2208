"""The server of the review page: who may ask, what is refused, and that nothing is lost."""

import json
import threading

import httpx
import pytest

from seqrec.drafts.draft import read_drafts
from seqrec.reviews.desk import Desk
from seqrec.reviews.log import ReviewLog
from seqrec.reviews.server import ReviewServer
from tests.reviews.conftest import save, summary


@pytest.fixture
def server(folder):
    with ReviewServer(Desk(folder), 0) as opened:
        thread = threading.Thread(target=opened.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, trust_env=False) as opened:
        yield opened


def post(client, **body):
    return client.post("review", json={"reviewer": "ann", **body})


def test_the_page_allows_its_own_script_and_style_alone(client):
    answer = client.get("")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200 and "<title>Review</title>" in answer.text
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert policy.count("'sha256-") == 2 and "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "http" not in answer.text.replace("http-equiv", "")


def test_another_host_origin_or_token_is_refused(client, server, folder):
    port = server.server_port
    asked = {"reviewer": "ann", "draft": read_drafts(folder / "drafts.parquet")[0].draft_id}
    body = {**asked, "action": "accept"}
    for headers in (
        {"host": "evil.example"},
        {"host": f"evil.example:{port}"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ):
        assert client.get("", headers=headers).status_code == 403
        assert client.post("review", json=body, headers=headers).status_code == 403
    for path in ("/", "/wrong/", "/wrong/state", "/é/"):
        assert httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code == 403
    assert not ReviewLog(folder / "reviews.jsonl").reviews
    local = {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"}
    assert client.post("review", json=body, headers=local).status_code == 200


def test_a_review_is_on_disk_before_the_answer(client, folder):
    state = client.get("state", params={"reviewer": "ann"}).json()
    assert state["progress"]["drafts"] == 6 and not state["can_undo"]
    draft = state["task"]["drafts"][0]["draft"]
    after = post(client, draft=draft, action="edit", text="Better ✂").json()
    (found,) = ReviewLog(folder / "reviews.jsonl").reviews
    assert (found.draft, found.text, found.reviewer) == (draft, "Better ✂", "ann")
    assert after["progress"]["reviewed"] == 1 and after["can_undo"]
    assert after["task"]["drafts"][0]["draft"] != draft
    undone = client.post("undo", json={"reviewer": "ann"}).json()
    assert undone["undone"] == "edit" and undone["task"]["drafts"][0]["draft"] == draft
    assert len(ReviewLog(folder / "reviews.jsonl").reviews) == 2
    refused = client.post("undo", json={"reviewer": "ann"})
    assert refused.status_code == 400 and "no review of yours" in refused.json()["error"]


def test_a_review_of_a_draft_that_changed_meanwhile_is_one_line(client, folder):
    draft = client.get("state", params={"reviewer": "ann"}).json()["task"]["drafts"][0]["draft"]
    assert post(client, draft=draft, action="accept").status_code == 200
    save(folder, [summary(9)])
    answer = post(client, draft=draft, action="reject", reasons=["tone"])
    assert answer.status_code == 409
    assert answer.json()["error"].startswith(f"draft {draft}: changed meanwhile; nothing was")
    state = client.get("state", params={"reviewer": "ann"}).json()
    assert state["progress"]["of_changed_drafts"] == 1
    assert state["task"]["item_id"] == "m9"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"no json", 400),
        (b"[]", 400),
        (b"[" * 100_000, 400),
        (b"x" * 300_000, 413),
        (json.dumps({"reviewer": "ann", "action": "love", "draft": "x"}).encode(), 400),
        (json.dumps({"action": "accept", "draft": "x"}).encode(), 400),
        (json.dumps({"reviewer": "ann", "action": "accept", "draft": ["x"]}).encode(), 409),
        (json.dumps({"reviewer": "ann", "draft": "x", "reasons": "tone"}).encode(), 400),
    ],
)
def test_a_mistake_is_answered_and_nothing_is_written(client, folder, content, status):
    answer = client.post("review", content=content)
    assert answer.status_code == status and answer.json()["error"]
    assert not (folder / "reviews.jsonl").exists()
    assert client.post("other", json={}).status_code == client.get("other").status_code == 404
