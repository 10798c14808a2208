"""The card of a model folder, and what is uploaded with it."""

import subprocess
import sys
from types import SimpleNamespace

import polars as pl
import pytest
from huggingface_hub import ModelCard

import seqrec
from seqrec.data.known_datasets.descriptions import list_known_datasets
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.reports.model_card import DataFacts, ModelFacts, format_model_card
from seqrec.runs.card import get_hub_name
from tests.conftest import save_small_model

QUICK = ["data.max_length=10", "model.hidden_size=16", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    log = first_order_world(num_items=20, seed=0).simulate(60, 8, seed=1)
    data = seqrec.prepare(log, out=folder / "data")["out"]
    seqrec.train("sft", data=data, out=folder / "first run", overrides=QUICK)
    return folder / "first run"


def test_training_writes_a_card_with_metrics_protocol_and_how_to_load(run):
    file = run / "model" / "README.md"
    card, text = ModelCard.load(file), file.read_text()
    result = seqrec.train("sft", data=run.parent / "data", out=run, overrides=QUICK, resume=True)
    assert card.data.library_name == "seqrec" and "sft" in card.data.tags
    found = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert found == {key: round(value, 6) for key, value in result["validation"].items()}
    assert result["protocol"] in " ".join(text.split())
    for said in ("import seqrec", "trust_remote_code=False", "items.parquet", "max_epochs: 1"):
        assert said in text
    assert "not stated; state it before you publish" in text and card.data.license is None
    assert str(run.parent) not in text


def test_the_card_of_a_known_dataset_has_its_licence_and_citation():
    known = next(one for one in list_known_datasets() if one.name == "movielens-1m")
    model = ModelFacts("m", "1", "dpo", ["dpo"], 1234, 20, {"ndcg@10": 0.25}, "p", "a: 1")
    data = DataFacts(known.name, "3 users", known.licence, known.citation)
    text = format_model_card(model, data)
    card = ModelCard(text)
    assert (card.data.license, card.data.license_name) == ("other", "movielens-1m-terms")
    assert card.data.datasets == ["movielens-1m"]
    assert "no redistribution" in text and "Harper" in text and "| ndcg@10 | 0.2500 |" in text
    (result,) = card.data.eval_results
    assert (result.task_type, result.dataset_split) == ("sequential-recommendation", "validation")


def test_a_card_without_validation_or_catalog_says_so():
    model = ModelFacts("m", "1", "text_sft", [], 5, None, {}, "none", "a: 1")
    text = format_model_card(model, DataFacts("chats", "7 chats"))
    assert "No validation part" in text and "AutoModelForCausalLM" in text
    card = ModelCard(text)
    assert "items.parquet" not in text and card.data.eval_results is None
    assert (card.data.library_name, card.data.tags[0]) == ("transformers", "text-generation")


def test_a_base_model_is_named_if_a_hub_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "model").mkdir(parents=True)
    assert get_hub_name("org/some-model_1.5") == "org/some-model_1.5"
    for other in ("my/model", "/abs/model", "./model", "package-name", "a/b/c", "x/m.gguf/y", None):
        assert get_hub_name(other) is None, other


class FakeHub:
    """Takes what the hub's client takes, and notes the files that match."""

    def __init__(self):
        self.repositories, self.files = [], []

    def create_repo(self, repo_id, *, private, exist_ok):
        self.repositories.append((repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id, folder_path, commit_message, allow_patterns):
        from pathlib import Path

        from huggingface_hub.utils import filter_repo_objects

        files = [path.name for path in Path(folder_path).iterdir()]
        self.files = sorted(filter_repo_objects(files, allow_patterns=allow_patterns))
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/{commit_message}")


def test_the_whole_folder_goes_to_the_hub_and_nothing_else(run):
    (run / "model" / "secret.key").write_text("x")
    hub = FakeHub()
    url = seqrec.Recommender.from_pretrained(run).push_to_hub("me/films", private=True, api=hub)
    assert hub.repositories == [("me/films", True, True)] and url.startswith("https://hub/me/films")
    assert {"README.md", "items.parquet", "model.safetensors", "tokenizer.json"} <= set(hub.files)
    assert "secret.key" not in hub.files
    (run / "model" / "secret.key").unlink()


def test_what_was_uploaded_loads_with_auto_classes_after_import_seqrec(run):
    code = (
        "import seqrec\nfrom transformers import AutoModel\n"
        f"model = AutoModel.from_pretrained({str(run / 'model')!r}, trust_remote_code=False)\n"
        "print(type(model).__name__)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "SeqRecForNextItem"


def test_a_hub_that_refuses_and_a_model_in_memory_are_one_line(tmp_path):
    class Closed(FakeHub):
        def create_repo(self, repo_id, *, private, exist_ok):
            raise OSError("no network\nmore")

    rec = seqrec.Recommender.from_pretrained(save_small_model(tmp_path / "model"))
    with pytest.raises(SeqRecError, match="me/films: .* cannot be reached.*no network; check the"):
        rec.push_to_hub("me/films", api=Closed())
    rec.folder = None
    with pytest.raises(SeqRecError, match="in no folder"):
        rec.push_to_hub("me/films", api=FakeHub())


def test_every_file_of_a_model_folder_has_the_mode_of_the_users_umask(run):
    modes = {file.name: file.stat().st_mode & 0o777 for file in (run / "model").iterdir()}
    assert len(set(modes.values())) == 1, modes
    assert pl.read_parquet(run / "model" / "items.parquet").height == 20
