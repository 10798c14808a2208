"""Every property is broken on purpose, and seen to fail."""

import json

import faiss
import polars as pl
import pytest
import torch

import seqrec
from seqrec.cli import main
from seqrec.models.documents import document_mask
from seqrec.models.heads import TiedCatalogHead
from seqrec.models.native import attention, blocks, llama_weights
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.tokens.streams.packing import pack_inputs
from tests.verification.conftest import write_next_item


def failed(folder, **options):
    """The properties that fail, with their rows."""
    result = seqrec.verify(folder, histories=40, **options)
    assert result["passed"] == all(
        one["result"] in ("passed", "does not apply") for one in result["properties"]
    )
    return {one["property"]: one for one in result["properties"] if one["result"] == "failed"}


def test_other_items_or_another_tokenizer_fail_and_nothing_else_is_run(folder, tmp_path):
    items = pl.read_parquet(folder / "items.parquet")
    swapped = items["item_id"].to_list()
    swapped[3], swapped[4] = swapped[4], swapped[3]
    items.with_columns(item_id=pl.Series(swapped)).write_parquet(folder / "items.parquet")
    result = seqrec.verify(folder)
    assert [one["result"] for one in result["properties"]] == ["failed", *["not run"] * 11]
    assert result["properties"][0]["note"] == "catalog_fingerprint" and not result["passed"]


def test_a_tokenizer_that_changes_letters_is_found_though_its_fingerprint_is_the_same(folder):
    file = folder / "tokenizer.json"
    fields = json.loads(file.read_text())
    fields["normalizer"] = {"type": "Lowercase"}
    file.write_text(json.dumps(fields))
    found = failed(folder)
    assert {"tokens of histories", "tokens of texts"} == set(found)
    assert "AutoTokenizer differ" in found["tokens of histories"]["note"]


def test_serving_that_reads_other_items_than_training_is_found(folder, monkeypatch):
    def shifted(items, *more):
        return pack_inputs((items + 1) % 100, *more)

    monkeypatch.setattr("seqrec.ranking.model_ranker.pack_inputs", shifted)
    found = failed(folder)["tokens of histories"]
    assert found["deviation"] > 30 and "training and serving differ" in found["note"]


def test_ids_that_become_special_tokens_are_found(tmp_path, monkeypatch):
    folder = write_next_item(tmp_path / "model", item_ids=[f"T{item}" for item in range(100)])
    monkeypatch.setattr("seqrec.tokens.tokenizer.quote", lambda text, safe: text)
    assert "as an id" in failed(folder)["tokens of texts"]["note"]


def test_an_index_of_other_distances_is_found(folder, monkeypatch):
    monkeypatch.setattr("seqrec.retrieval.index.faiss.IndexFlatIP", faiss.IndexFlatL2)
    assert set(failed(folder)) == {"item index"}


def test_an_index_of_another_model_is_found(folder, tmp_path):
    torch.manual_seed(5)
    other = write_next_item(tmp_path / "other")
    for model, name in ((folder, "own"), (other, "others")):
        seqrec.export(str(model), to="faiss", out=tmp_path / name)
    assert not failed(folder, index=tmp_path / "own" / "items" / "flat")
    found = failed(folder, index=tmp_path / "others" / "items" / "flat")
    assert "indexes another model" in found["item index"]["note"]


def test_another_rotation_is_found_by_the_twin(folder, monkeypatch):
    def interleaved(x, rotation):
        cosine, sine = rotation
        turned = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
        return x * cosine + turned * sine

    monkeypatch.setattr(blocks, "rotate", interleaved)
    assert set(failed(folder)) == {"states against Llama"}


def test_a_conversion_that_mixes_up_weights_is_found(folder, monkeypatch):
    mixed = ("self_attn.k_proj", "self_attn.q_proj", "self_attn.v_proj")
    monkeypatch.setitem(llama_weights._JOINED, "attention.qkv_proj", mixed)
    assert set(failed(folder)) == {"states against Llama"}


def test_histories_that_read_their_neighbours_are_found(folder, monkeypatch):
    def plain(documents, dtype, *, is_causal=True):
        return document_mask(torch.ones_like(documents), dtype, is_causal=is_causal)

    monkeypatch.setattr("seqrec.models.encoder.document_mask", plain)
    found = failed(folder)
    assert "packed rows" in found and found["packed rows"]["deviation"] > 0.01


def test_a_cache_that_is_not_kept_up_is_found(folder, monkeypatch):
    monkeypatch.setattr(
        "seqrec.models.native.decoder.put_at_positions", lambda hidden, *more: hidden
    )
    assert set(failed(folder)) == {"cached decoding"}


def test_positions_that_count_padding_are_found(tmp_path, monkeypatch):
    folder = write_next_item(tmp_path / "model", block="sasrec")

    def columns(documents):
        return torch.arange(documents.shape[1]).expand_as(documents).clamp(max=15)

    monkeypatch.setattr("seqrec.models.encoder.document_positions", columns)
    assert "side of the padding" in failed(folder)


def test_a_kernel_of_low_precision_that_loses_the_mask_is_found(folder, monkeypatch):
    def maskless(qkv, mask, bias=None):
        is_low = qkv.dtype == torch.bfloat16
        return attention.attend(qkv, torch.zeros_like(mask) if is_low else mask, bias)

    monkeypatch.setattr(blocks, "attend", maskless)
    assert set(failed(folder)) == {"bfloat16"}


def test_states_that_depend_on_the_batch_are_found(folder, monkeypatch):
    own = SeqRecForNextItem.document_states

    def centred(self, *arguments, **named):
        states = own(self, *arguments, **named)
        return states - states.mean(dim=0)

    monkeypatch.setattr(SeqRecForNextItem, "document_states", centred)
    assert "batch size" in failed(folder)


def test_weights_that_are_saved_in_another_precision_are_found(folder, monkeypatch):
    own = SeqRecForNextItem.save_pretrained

    def rounded(self, *arguments, **named):
        weights = {key: value.bfloat16() for key, value in self.state_dict().items()}
        own(self, *arguments, state_dict=weights, **named)

    monkeypatch.setattr(SeqRecForNextItem, "save_pretrained", rounded)
    found = failed(folder)
    assert (
        set(found) == {"saving and loading"}
        and "bit for bit" in found["saving and loading"]["note"]
    )


def test_a_head_that_answers_with_padding_is_found(folder, monkeypatch):
    def shifted(self, weight):
        return weight[self.first_item_token + 5 : self.first_item_token + 5 + self.num_items]

    monkeypatch.setattr(TiedCatalogHead, "forward", shifted)
    assert "rows of padding" in failed(folder)


def test_a_ranker_that_lists_rows_beyond_the_catalog_is_found(folder, monkeypatch):
    own = ModelRanker.__init__

    def padded(self, *arguments):
        own(self, *arguments)
        self.num_items = 90

    monkeypatch.setattr(ModelRanker, "__init__", padded)
    assert "rows of padding" in failed(folder)


def test_a_path_that_breaks_is_a_failure_and_no_traceback(folder, monkeypatch, capsys):
    def broken(*arguments, **named):
        raise RuntimeError("no such kernel\nsecond line")

    monkeypatch.setattr(SeqRecForNextItem, "states_under", broken)
    with pytest.raises(SystemExit) as end:
        main(["verify", str(folder), "--histories", "20", "--json"])
    result = json.loads(capsys.readouterr().out)
    (row,) = [one for one in result["properties"] if one["result"] == "failed"]
    assert end.value.code == 1 and row["property"] == "cached decoding"
    assert row["note"] == "RuntimeError: no such kernel"


def test_the_command_line_prints_a_table_and_tells_mistakes_from_failures(folder, capsys):
    with pytest.raises(SystemExit) as end:
        main(["verify", str(folder), "--histories", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 0 and lines[-1].startswith("12 passed; ")
    assert [line.split("  ")[0] for line in lines[1:-1]][:2] == [
        "fingerprints",
        "tokens of histories",
    ]
    for wrong in (["nowhere"], [str(folder), "--histories", "0"]):
        with pytest.raises(SystemExit) as end:
            main(["verify", *wrong])
        captured = capsys.readouterr()
        assert end.value.code == 2 and captured.out == ""
        assert len(captured.err.splitlines()) == 1
