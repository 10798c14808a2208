"""Code in a model folder is never run and nothing is asked, whatever its files are named."""

import json
import sys

import pytest

import seqrec
from seqrec.errors import SeqRecError
from seqrec.jobs.served_folders import load_model
from tests.conftest import save_small_model

PLANTED = (
    "__init__.py", "adapter.py", "config.py", "configuration.py", "configuration_seqrec.py",
    "conftest.py", "custom_generate/generate.py", "decoder.py", "evil.py", "feature_extraction.py",
    "image_processing.py", "model.py", "modeling.py", "modeling_seqrec.py", "pipeline.py",
    "processing.py", "requirements.py", "reward.py", "seqrec.py", "setup.py", "sitecustomize.py",
    "tokenization.py", "tokenization_seqrec.py", "tokenizer.py", "tokens.py",
)  # fmt: skip
OWN_CODE = {
    "AutoConfig": "configuration.Config",
    "AutoModel": "modeling.Model",
    "AutoModelForCausalLM": "modeling_seqrec.Model",
    "AutoTokenizer": ["tokens.T", "tokenizer.T"],
}
READERS = {
    "recommend": lambda folder, out: seqrec.recommend(folder, history=["t1"], k=3),
    "export": lambda folder, out: seqrec.export(folder, to="numpy", out=out),
    "extend": lambda folder, out: seqrec.extend(
        folder, items=out.parent / "items.csv", out=out, rows="random"
    ),
    "serve": lambda folder, out: load_model("m", folder, None, "flat"),
    "onnx": lambda folder, out: load_model("m", folder, None, "flat", "onnx"),
}


class NobodyAnswers:
    """A terminal at which reading is a failure."""

    def readline(self, *_):
        raise AssertionError("something was asked")

    read = readline

    def isatty(self):
        return True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model folder with code under every name; the code leaves a mark where it runs."""
    folder = save_small_model(tmp_path / "model")
    for name in PLANTED:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"open({str(tmp_path / 'mark')!r}, 'a').write({name!r})\n")
    (tmp_path / "items.csv").write_text("item_id,title\nnew,New\n")
    monkeypatch.setattr(sys, "stdin", NobodyAnswers())
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("named_in", [None, "config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("reader", READERS)
def test_code_in_a_folder_is_not_run(folder, tmp_path, reader, named_in):
    if named_in is None:
        READERS[reader](folder, tmp_path / "out")
    else:
        fields = json.loads((folder / named_in).read_text())
        custom = {"auto_map": OWN_CODE, "tokenizer_class": None, "custom_pipelines": {"x": {}}}
        (folder / named_in).write_text(json.dumps(fields | custom))
        with pytest.raises(SeqRecError, match="auto_map names code to run"):
            READERS[reader](folder, tmp_path / "out")
    assert not (tmp_path / "mark").exists()
