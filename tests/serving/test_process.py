"""The server as a process: its client, its log, its signals, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from seqrec.errors import SeqRecError
from seqrec.serving.client import Client

TOKEN = "a-token-of-many-letters"


@pytest.fixture
def server(folder, tmp_path):
    """A process that serves the small model, its address and its log."""
    command = [sys.executable, "-m", "seqrec", "serve", str(folder), "--port", "0"]
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--drain", "0.2", "--user-store", str(tmp_path / "users.db")],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"SEQREC_TOKEN": TOKEN},
        )
    line = process.stdout.readline()
    assert line.startswith("film on http://127.0.0.1:"), log.read_text()
    yield process, line.split()[-1], log
    process.kill()
    process.wait()


def wait_for(log, num_loads):
    """Wait until the log tells of so many loads."""
    for _ in range(200):
        if log.read_text().count('"event": "model loaded"') >= num_loads:
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_a_process_answers_reloads_and_ends(server, recommender):
    process, url, log = server
    with Client(url, TOKEN) as client:
        answer = client.recommend([["t3", "t5"]], k=4)
        (expected,) = recommender.recommend([["t3", "t5"]], k=4)
        assert [row.item_id for row in answer.lists[0].recommendations] == [i for i, _ in expected]
        assert answer.model.fingerprint == recommender.fingerprint
        client.recommend_to("ann", ["t1"])
        listed = client.recommend_to("ann", ["t2"]).lists[0].history
        assert [item.item_id for item in listed] == ["t1", "t2"]
        assert client.find_items("amelie")[0].item_id == "t7"
        assert len(client.find_similar("t7", k=3).recommendations) == 3
        (found,) = client.recommend_in_words("a comedy after 2000", ["t3"], k=2).lists
        assert found.request.where == "genres contains 'comedy' AND year > 2000"
        previous = found.request.model_dump()
        (found,) = client.recommend_in_words("before 2010", previous=previous).lists
        assert found.request.where.endswith("year < 2010")
        assert client.score([["t1"]], ["t2"]).lists[0].scores[0].item_id == "t2"
        assert client.list_models().models[0].num_items == 100
        with pytest.raises(SeqRecError, match="422: k: input should be"):
            client.recommend([["t1"]], k=0)
    with Client(url, "wrong-token-of-letters") as client:
        with pytest.raises(SeqRecError, match="401: authorization"):
            client.list_models()
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 40_000)
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    large = (b"[" * 100_000 for _ in range(4))
    header = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    refused = httpx.post(f"{url}/recommend", content=large, headers=header)
    assert refused.status_code == 413 and refused.json()["detail"].startswith("body: more than 256")
    process.send_signal(signal.SIGHUP)
    wait_for(log, 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0 and process.stdout.read() == ""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(line["event"] == "model loaded" for line in lines) == 2
    assert not any("error" in line for line in lines)
    assert not any(TOKEN in json.dumps(line) or "ann" in line.get("path", "") for line in lines)
