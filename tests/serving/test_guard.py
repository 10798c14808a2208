"""Who is refused, and that nothing leaks."""

import json
import logging

import pytest

from seqrec.errors import SeqRecError
from seqrec.serving import guard as guard_module
from seqrec.serving.conditions import check_condition
from seqrec.serving.settings import ServerSettings, read_token
from tests.serving.conftest import slot_for

TOKEN = "a-token-of-many-letters"


def recommend(client, **options):
    return client.post("/recommend", json={"history": ["t1"]}, **options)


def test_a_token_is_needed_in_the_header_alone(folder, open_client):
    client = open_client([slot_for(folder)], token=TOKEN, base_url="http://films.example")
    assert recommend(client, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": "Bearer \xff".encode("latin-1")},
    ):
        refused = recommend(client, headers=headers)
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in refused.text
    for path in ("/models", "/items", "/metrics", "/openapi.json", "/admin/reload"):
        assert client.get(path, params={"token": TOKEN}).status_code == 401
    assert client.get("/health/live").status_code == 200


def test_a_server_without_a_token_answers_this_machine_only(folder, open_client):
    client = open_client([slot_for(folder)])
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert recommend(client, headers={"host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[::1"):
        assert recommend(client, headers={"host": host}).status_code == 403


def test_pages_of_other_sites_are_refused_unless_they_are_named(folder, open_client):
    client = open_client([slot_for(folder)])
    assert recommend(client, headers={"origin": "https://evil.example"}).status_code == 403
    assert recommend(client, headers={"origin": "null"}).status_code == 403
    assert recommend(client, headers={"origin": "http://localhost"}).status_code == 200
    friend = "https://films.example"
    client = open_client([slot_for(folder)], cors_origins=(friend,))
    answer = recommend(client, headers={"origin": friend})
    assert answer.headers["access-control-allow-origin"] == friend
    preflight = {"origin": friend, "access-control-request-method": "POST"}
    assert client.options("/recommend", headers=preflight).status_code == 200
    assert recommend(client, headers={"origin": "https://evil.example"}).status_code == 403


def test_large_bodies_are_refused_however_they_are_sent(folder, open_client, caplog):
    """In one line, and without a traceback in the log; a body of just the limit is read."""
    client = open_client([slot_for(folder)], max_body_kb=4)
    header = {"content-type": "application/json"}
    fitting = json.dumps({"history": ["t1"]}).encode().ljust(4096)

    def split(content):
        return (content[start : start + 1000] for start in range(0, len(content), 1000))

    for send in (bytes, split):
        assert client.post("/recommend", content=send(fitting), headers=header).status_code == 200
        refused = client.post("/recommend", content=send(fitting + b" "), headers=header)
        assert refused.status_code == 413 and refused.json()["request_id"]
        assert refused.json()["detail"] == "body: more than 4 KiB; send less at once"
    assert "request failed" not in caplog.text


def test_paths_lead_nowhere(client, tmp_path):
    for path in ("/../etc/passwd", "/items/%2e%2e/%2e%2e", "//etc/passwd", "/static/..%2f.."):
        assert client.get(path).status_code == 404
    for body in ({"history": "/etc/passwd"}, {"history": ["t1"], "allow": "/etc/passwd"}):
        refused = client.post("/recommend", json=body)
        assert refused.status_code == 422
    for path in ("/models", "/openapi.json", "/metrics", "/items"):
        assert str(tmp_path) not in client.get(path).text


@pytest.mark.parametrize(
    "condition",
    [
        "LPAD(title, 1000000000, 'x') = 'x'",
        "title || title = 'x'",
        "item_id IN (SELECT item_id FROM read_csv('/etc/passwd'))",
        "CASE WHEN year > 1 THEN TRUE END",
        "title::int > 3",
        "year * 3 > 2",
        "title REGEXP 'a'",
        "year > 1; DROP TABLE x",
        '"title" (1)',
    ],
)
def test_conditions_only_compare(condition):
    with pytest.raises(SeqRecError, match="is not allowed; compare columns"):
        check_condition(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "genres contains 'Comedy' AND (year > 1990 OR NOT title LIKE 'The %')",
        "year BETWEEN 1990 AND 2000",
        "year IN (1990, 1991) AND title IS NOT NULL",
        "year >= -1 AND title <> 'it''s (a) select'",
        '"the year" = 1',
    ],
)
def test_comparisons_pass(condition):
    assert check_condition(condition) == condition


def test_an_error_of_the_server_says_its_number_and_no_more(client, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("secret /path")

    monkeypatch.setattr("seqrec.serving.engine.rank_requests", fail)
    answer = recommend(client, headers={"x-request-id": "abc"})
    assert answer.status_code == 500
    assert answer.json()["request_id"] == "abc" and "secret" not in answer.text
    assert any("secret" in str(record.exc_info) for record in caplog.records)


def test_slow_bodies_are_given_up(folder, open_client, monkeypatch):
    import asyncio

    monkeypatch.setattr(guard_module, "BODY_SECONDS", 0.05)
    sent = []

    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass

    async def receive():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "path": "/recommend",
        "headers": [(b"host", b"localhost")],
        "method": "POST",
    }
    asyncio.run(guard_module.Guard(app, ServerSettings())(scope, receive, send))
    assert sent[0]["status"] == 408


def test_histories_and_users_are_logged_on_request_only(folder, open_client, caplog):
    caplog.set_level(logging.INFO, "seqrec.access")

    def logged(**settings):
        client = open_client([slot_for(folder)], **settings)
        caplog.clear()
        body = {"history": ["t31"], "user": "ann@example.org"}
        client.post("/recommend?token=hidden", json=body)
        (fields,) = [one.fields for one in caplog.records if one.message == "request"]
        return fields

    fields = logged()
    assert fields["status"] == 200 and fields["model"] == "film" and fields["is_assigned"]
    text = json.dumps(fields)
    assert not any(word in text for word in ("t31", "ann@example.org", "hidden"))
    assert logged(logs_histories=True)["history"] == [["t31"]]


def test_settings_that_would_open_the_server_are_refused(monkeypatch, tmp_path):
    for host in ("0.0.0.0", "::", "192.168.1.2", "films.example"):
        with pytest.raises(SeqRecError, match="SEQREC_TOKEN"):
            ServerSettings(host=host).check()
        ServerSettings(host=host, token=TOKEN).check()
    monkeypatch.setenv("SEQREC_TOKEN", "short")
    with pytest.raises(SeqRecError, match="at least 16 letters"):
        read_token(None)
    (tmp_path / "token").write_text(TOKEN + "\n")
    assert read_token(tmp_path / "token") == TOKEN
