"""Sentences by a language model, end to end on a small catalog: trained, checked, plots swapped."""

import argparse

import pytest

import seqrec
from benchmarks.explanations import trained
from tests.language import build_byte_tokenizer, save_tiny_encoder, tiny_llama
from tests.stories import prepare_stories

NOUNS = "farmer sailor baker singer pilot doctor painter teacher driver writer guard miner".split()
QUICK = ["data.max_length=10", "model.hidden_size=16", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A prepared log of twelve titles with plots, a decoder, a language model and an encoder."""
    root = tmp_path_factory.mktemp("sentences")
    plots = [f"A {noun} finds a map of the old town." for noun in NOUNS]
    prepare_stories(root / "data", 80, plots)
    seqrec.train("sft", data=root / "data", out=root / "run", overrides=QUICK)
    model = tiny_llama()
    model.config.max_position_embeddings = 4096
    model.save_pretrained(root / "tiny")
    build_byte_tokenizer().save_pretrained(root / "tiny")
    save_tiny_encoder(root / "encoder")
    return root


def test_the_command_trains_and_judges_and_goes_on_where_it_ended(root, capsys, monkeypatch):
    monkeypatch.setitem(trained.TRAINING, "data.max_length", 2048)
    monkeypatch.setitem(trained.TRAINING, "data.row_length", 2048)
    parser = argparse.ArgumentParser()
    trained.add_arguments(parser)
    options = [str(root / "run"), "--data", str(root / "data"), "--out", str(root / "out")]
    options += ["--model", str(root / "tiny"), "--encoder", str(root / "encoder")]
    options += ["--learned", "3", "--drafted", "3", "--judged", "2", "--sft-epochs", "1"]
    args = parser.parse_args(options)
    trained.measure(args)
    first = capsys.readouterr().out
    assert "pairs by a simulated reviewer" in first and "swapped plots the text changes" in first
    (line,) = [line for line in first.splitlines() if line.startswith("after DPO, checked")]
    assert line.split()[3:8] == ["2", "1.0000", "0.0000", "1.0000", "1.0000"]
    monkeypatch.setattr(seqrec, "train", None)
    trained.measure(args)
    again = capsys.readouterr().out
    assert again.splitlines()[-5:] == first.splitlines()[-5:]
