"""Model folders as others write them: sharded, in half precision, with pickles or code."""

import json
import logging
import shutil
import threading
import time

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import load_model
from seqrec.models.unchanged import read_unchanged
from seqrec.models.weights import WEIGHTS_FILE, folder_fingerprint
from seqrec.outputs import new_folder
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.tokenizer import load_tokenizer, tokenizer_fingerprint
from tests.conftest import save_small_model, small_config


@pytest.fixture
def folder(tmp_path):
    return save_small_model(tmp_path / "model")


def test_a_sharded_folder_is_the_whole_one(folder, tmp_path):
    whole = load_model(folder)
    sharded = save_small_model(tmp_path / "sharded")
    (sharded / WEIGHTS_FILE).unlink()
    whole.save_pretrained(sharded, max_shard_size="20KB")
    shards = sorted(sharded.glob("model-*.safetensors"))
    assert len(shards) > 1 and not (sharded / WEIGHTS_FILE).exists()
    weights = load_model(sharded).state_dict()
    assert all(torch.equal(weights[name], part) for name, part in whole.state_dict().items())
    histories = [["t1", "t2"], ["t50"]]
    answers = [Recommender.from_pretrained(one).recommend(histories) for one in (folder, sharded)]
    assert answers[0] == answers[1]
    before = folder_fingerprint(sharded)
    other = load_file(shards[-1])
    name = next(iter(other))
    whole.load_state_dict({**whole.state_dict(), name: other[name] + 1})
    whole.save_pretrained(sharded, max_shard_size="20KB")
    assert folder_fingerprint(sharded) != before
    shards[-1].unlink()
    with pytest.raises(SeqRecError, match=f"not a model folder, {shards[-1].name} is missing"):
        load_model(sharded)
    (sharded / "model.safetensors.index.json").write_text("{")
    with pytest.raises(SeqRecError, match="index.json: broken or cut short"):
        load_model(sharded)


def test_pickled_weights_are_refused(folder):
    torch.save(load_file(folder / WEIGHTS_FILE), folder / "pytorch_model.bin")
    load_model(folder)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(SeqRecError, match="holds pickled weights, which can run code"):
        load_model(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_folder_that_names_code_of_its_own_is_refused(folder, file):
    fields = json.loads((folder / file).read_text())
    own_code = {"auto_map": {"AutoModel": "modeling.Model", "AutoTokenizer": ["tokens.T", None]}}
    if file == "config.json":
        fields["backbone_config"] |= own_code
    else:
        fields |= own_code
    (folder / file).write_text(json.dumps(fields))
    with pytest.raises(SeqRecError, match=f"{file}: auto_map names code to run"):
        Recommender.from_pretrained(folder)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("block", ["llama", "sasrec"])
def test_weights_of_any_precision_are_float32_once_loaded(folder, dtype, block, caplog):
    model = SeqRecForNextItem(small_config(block)).to(dtype)
    model.save_pretrained(folder)
    assert load_file(folder / WEIGHTS_FILE)["backbone.norm.weight"].dtype == dtype
    with caplog.at_level(logging.WARNING, logger="seqrec"):
        loaded = load_model(folder)
    name = str(dtype).removeprefix("torch.")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"{folder}: weights in {name} are read as float32"
    saved = model.state_dict()
    for name, weight in loaded.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, saved[name].float())
    assert loaded(torch.tensor([[3, 4, 5]])).logits.dtype == torch.float32
    loaded.save_pretrained(folder)
    caplog.clear()
    assert load_model(folder).dtype == torch.float32 and not caplog.records


def test_the_learned_items_of_a_folder_are_those_of_its_model(folder):
    assert load_model(folder).num_learned == 100
    model = SeqRecForNextItem(small_config(content={"content_width": 5}))
    model.get_input_embeddings().load_content(torch.randn(100, 5), (torch.arange(100) < 90).long())
    model.save_pretrained(folder)
    assert load_model(folder).num_learned == 90


def test_truncation_keeps_the_items_that_the_recommender_reads(folder):
    recommender = Recommender.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    length = recommender.model.config.max_length
    tokenizer.model_max_length = length
    before = tokenizer_fingerprint(load_tokenizer(folder))
    tokenizer.save_pretrained(folder)
    assert tokenizer_fingerprint(load_tokenizer(folder)) == before
    tokenizer = AutoTokenizer.from_pretrained(folder)
    history = [f"t{(7 * n) % 100}" for n in range(2 * length)]
    text = " ".join(f"<item:{item_id}>" for item_id in history)
    model = recommender.model
    with pytest.raises(ValueError, match=f"a history of {2 * length} tokens: .* last {length}"):
        model(**tokenizer(text, return_tensors="pt"))
    logits = model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0].detach()
    ((item_id, score),) = recommender.recommend([history], k=1, exclude_seen=False)[0]
    assert recommender.item_ids[int(logits.argmax())] == item_id
    assert float(logits.max()) == pytest.approx(score, abs=1e-5)


def test_a_folder_that_another_process_replaces_is_read_whole(tmp_path):
    """Two models of other widths and catalogs take turns; each answer is that of one of them."""
    texts, answers = {}, {}
    for name, width in (("one", 32), ("two", 16)):
        config = small_config()
        config.backbone_config.hidden_size = width
        model = SeqRecForNextItem(config)
        folder = save_small_model(tmp_path / name)
        model.config.catalog_fingerprint = load_model(folder).config.catalog_fingerprint
        model.config.tokenizer_fingerprint = load_model(folder).config.tokenizer_fingerprint
        model.save_pretrained(folder)
        (folder / "manifest.json").write_text('{"catalog_fingerprint": ""}')
        answers[width] = Recommender.from_pretrained(folder).recommend([["t1"]])
        texts[name] = folder
    out, is_over, replaced = tmp_path / "out", threading.Event(), []
    shutil.copytree(texts["one"], out)

    def replace():
        while not is_over.is_set():
            for folder in (texts["two"], texts["one"]):
                with new_folder(out, overwrite=True) as aside:
                    shutil.copytree(folder, aside, dirs_exist_ok=True)
                replaced.append(folder)
                time.sleep(0.03)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        widths = []
        for _ in range(30):
            recommender = Recommender.from_pretrained(out)
            widths.append(recommender.width)
            assert recommender.recommend([["t1"]]) == answers[recommender.width]
    finally:
        is_over.set()
        thread.join()
    assert set(widths) == {16, 32} and len(replaced) > 10


def test_a_file_that_is_replaced_while_others_are_read_starts_the_reading_again(folder):
    reads = []

    def read():
        reads.append((folder / "config.json").read_text())
        if len(reads) < 3:
            (folder / "new").write_text(f"{len(reads)}")
            (folder / "new").replace(folder / "config.json")
        if len(reads) == 2:
            raise SeqRecError("a mixture")
        return reads[-1]

    assert read_unchanged(folder, read) == "2" and reads[1:] == ["1", "2"]
    with pytest.raises(SeqRecError, match="of its own"):
        read_unchanged(folder, lambda: (_ for _ in ()).throw(SeqRecError("an error of its own")))
