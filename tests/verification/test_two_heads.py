"""Models with two heads have all properties; each of their own is broken on purpose."""

import json

import pytest

import seqrec
from seqrec.models import two_heads
from seqrec.ranking.text_reading import PromptRanker
from seqrec.tokens.text import chat
from seqrec.tokens.text.examples import ExampleEncoder
from tests.two_heads import write_two_headed


def by_result(result):
    found = {}
    for one in result["properties"]:
        found.setdefault(one["result"], {})[one["property"]] = one
    return found


@pytest.mark.parametrize("head", ["tied", "untied", "projected"])
@pytest.mark.parametrize("family", ["smollm", "llama", "qwen3", "gpt2", "gemma3"])
def test_every_family_has_the_properties(family, head, tmp_path):
    folder = write_two_headed(tmp_path / "model", family, head)
    found = by_result(seqrec.verify(folder, histories=40))
    assert set(found) <= {"passed", "does not apply"}, found.get("failed")
    assert {"tokens of chats", "catalog head", "word head"} <= set(found["passed"])
    assert set(found.get("does not apply", {})) <= {"states against Llama"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_two_headed(tmp_path_factory.mktemp("two") / "model", "llama")


def failed(folder):
    return by_result(seqrec.verify(folder, histories=20)).get("failed", {})


def test_special_tokens_that_messages_write_are_found(folder, monkeypatch):
    monkeypatch.setattr(chat.ChatFormat, "_find_spelled", lambda *_: [])
    found = failed(folder)
    assert set(found) == {"tokens of chats"}
    assert "a message wrote a special token" in found["tokens of chats"]["note"]


def test_requests_that_are_read_in_another_way_are_found(folder, monkeypatch):
    own = ExampleEncoder.request_tokens

    def stripped(self, request, name):
        tokens = own(self, request, name)
        return tokens[:-1] if isinstance(request, str) else tokens

    monkeypatch.setattr(ExampleEncoder, "request_tokens", stripped)
    assert set(failed(folder)) == {"tokens of chats"}


def test_spaces_that_a_tokenizer_drops_before_items_are_found(tmp_path):
    """A tokenizer that strips blanks before items reads answers that requests do not lead to."""
    folder = write_two_headed(tmp_path / "model")
    file = folder / "tokenizer.json"
    state = json.loads(file.read_text())
    for token in state["added_tokens"]:
        if token["content"].startswith("<item:"):
            token["lstrip"] = True
    file.write_text(json.dumps(state))
    found = failed(folder)
    assert "tokens of chats" in found
    assert "answers follow other tokens" in found["tokens of chats"]["note"]


def test_a_catalog_head_at_another_place_is_found(folder, monkeypatch):
    own = PromptRanker.score_tiles

    def earlier(self, histories):
        for row in histories.tokens:
            del row[-1]
        return own(self, histories)

    monkeypatch.setattr(PromptRanker, "score_tiles", earlier)
    assert set(failed(folder)) == {"catalog head"}


def test_words_of_another_head_are_found(tmp_path, monkeypatch):
    folder, own = write_two_headed(tmp_path / "model", "llama"), two_heads.name_weights

    def turned(*given):
        named = own(*given)
        return {**named, "word_head.weight": -named["word_head.weight"]}

    monkeypatch.setattr("seqrec.models.folder.name_weights", turned)
    assert {"word head"} <= set(failed(folder)) <= {"word head", "saving and loading"}
