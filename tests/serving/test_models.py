"""Several models behind names: splits, reloads, broken folders and pointers."""

import os
import shutil
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.jobs.served_folders import load_model, look_at_pointer
from seqrec.ranking.request_batches import rank_requests
from seqrec.serving.served_models import ModelPool, ModelSlot
from tests.serving.conftest import save_titled_model, slot_for


@pytest.fixture
def other(tmp_path):
    torch.manual_seed(1)
    return save_titled_model(tmp_path / "other")


def version(client, **body):
    return client.post("/recommend", json={"history": ["t1"], **body}).json()["model"]["version"]


def test_a_split_follows_its_weights_and_is_the_same_everywhere():
    slots = [ModelSlot(name, weight, lambda: None) for name, weight in (("a", 3), ("b", 1))]
    names = [ModelPool(slots).assign(f"user {n}").name for n in range(4000)]
    assert names == [ModelPool(slots).assign(f"user {n}").name for n in range(4000)]
    share = np.mean([name == "a" for name in names])
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)


def test_a_user_gets_one_model_unless_the_request_names_another(folder, other, open_client):
    client = open_client([slot_for(folder, "a"), slot_for(other, "b")])
    answers = {}
    for user in map(str, range(40)):
        body = {"history": ["t1", "t2"], "user": user, "k": 3}
        answer = client.post("/recommend", json=body).json()
        assert answer == client.post("/recommend", json=body).json()
        answers[answer["model"]["name"]] = answer["lists"]
        chosen = client.post("/recommend", json=body | {"model": "b"}).json()["model"]["name"]
        assert chosen == "b"
    assert set(answers) == {"a", "b"} and answers["a"] != answers["b"]
    assert client.post("/recommend", json={"history": []}).json()["model"]["name"] == "a"
    assert [one["name"] for one in client.get("/models").json()["models"]] == ["a", "b"]


def test_a_reload_shows_the_new_model_and_a_broken_folder_leaves_the_old_one(
    folder, other, client, tmp_path
):
    first = version(client)
    shutil.copytree(other, folder, dirs_exist_ok=True)
    assert version(client) == first
    assert client.post("/admin/reload").status_code == 200
    second = version(client)
    assert second != first
    (folder / "config.json").write_text("{")
    refused = client.post("/admin/reload", json={"model": "film"})
    assert refused.status_code == 409 and str(tmp_path) not in refused.text
    assert version(client) == second


def test_the_version_also_names_the_language_model_that_reads_requests(folder):
    decoders = [None, *(SimpleNamespace(fingerprint=one) for one in ("a", "b", "a"))]
    loaded = [load_model("film", folder, None, "flat", decoder=one) for one in decoders]
    versions = [one.version for one in loaded]
    assert len(set(versions)) == 3 and versions[1] == versions[3]
    assert len({one.fingerprint for one in loaded}) == 1


def test_a_pointer_is_followed_when_it_moves(folder, other, tmp_path, open_client):
    link, file = tmp_path / "current", tmp_path / "current.txt"
    link.symlink_to(folder)
    file.write_text(f"{folder.name}\n")
    slots = [
        ModelSlot("link", 1, slot_for(link)._load, partial(look_at_pointer, link)),
        ModelSlot("file", 1, slot_for(file)._load, partial(look_at_pointer, file)),
    ]
    client = open_client(slots)
    before = version(client)
    assert not any(slot.has_moved() for slot in slots)
    new = tmp_path / "new"
    new.symlink_to(other)
    os.replace(new, link)
    file.write_text(f"{other}\n")
    assert all(slot.has_moved() for slot in slots)
    assert not any(slot.has_moved() for slot in slots)
    assert client.post("/admin/reload").status_code == 200
    after = [version(client, model=name) for name in ("link", "file")]
    assert after[0] == after[1] != before
    file.write_text("nowhere\n")
    with pytest.raises(SeqRecError, match="names no folder"):
        slots[1].reload()
    link.unlink()
    link.symlink_to(tmp_path / "gone")
    for data in (None, tmp_path / "data"):
        with pytest.raises(SeqRecError, match="current: neither a run or model folder nor a base"):
            load_model("link", link, data, "flat")


def test_an_index_gives_the_lists_of_exact_search(folder, open_client):
    slots = [slot_for(folder, "flat"), slot_for(folder, "hnsw", retrieval="hnsw")]
    client = open_client(slots)
    for rules in ({}, {"where": "year > 2000"}, {"exclude": ["t1", "t2"]}):
        body = {"histories": [["t3", "t5"], []], "k": 10, **rules}
        flat, hnsw = (
            client.post("/recommend", json=body | {"model": name}).json()["lists"]
            for name in ("flat", "hnsw")
        )
        for one, other in zip(flat, hnsw, strict=True):
            ids = [[row["item_id"] for row in found["recommendations"]] for found in (one, other)]
            assert ids[0] == ids[1]


def test_a_full_batch_of_every_model_is_answered_before_the_first_request(
    folder, other, open_client, monkeypatch
):
    """In the thread of long batches, and counted nowhere."""
    seen = []

    def record(served, requests):
        seen.append((threading.current_thread().name, len(requests)))
        return rank_requests(served, requests)

    monkeypatch.setattr("seqrec.serving.engine.rank_requests", record)
    client = open_client([slot_for(folder, "a"), slot_for(other, "b")], batch_size=24)
    assert seen == [("seqrec-batches_0", 24)] * 2
    assert "seqrec_batch_histories_count 0.0" in client.get("/metrics").text
    assert client.post("/recommend", json={"history": ["t1"]}).status_code == 200
    assert "seqrec_batch_histories_count 1.0" in client.get("/metrics").text
