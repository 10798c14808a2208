"""Options of text jobs: other losses of pairs, checkpointing, validation files; no search."""

import json

import pytest
import torch
from safetensors.torch import load_file

import seqrec
from seqrec.errors import SeqRecError
from tests.language import save_tiny_llama

COLOURS = ("red", "green", "blue", "black")
QUICK = {
    "data.row_length": 256,
    "data.max_length": 200,
    "data.held_out_share": 0.2,
    "trainer.max_epochs": 3,
    "trainer.learning_rate": 0.02,
    "trainer.accumulate_batches": 2,
    "trainer.precision": "float32",
    "trainer.warmup_steps": 2,
    "trainer.sample_steps": 0,
    "model.tuning": {"name": "lora", "rank": 8, "alpha": 16.0},
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("backbone"))


def write_lines(file, lines):
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture
def answers(tmp_path):
    lines = [{"prompt": f"Say {one}", "completion": f" {one}"} for one in COLOURS * 5]
    return write_lines(tmp_path / "answers.jsonl", lines)


def train(recipe, data, out, backbone, **changes):
    overrides = {**QUICK, "model.backbone": str(backbone), **changes}
    return seqrec.train(recipe, data=data, out=out, overrides=overrides)


@pytest.mark.parametrize("loss", [{"name": "ipo", "beta": 0.5}, {"name": "simpo", "gamma": 0.5}])
def test_other_losses_raise_the_chosen_answers(backbone, tmp_path, loss, capsys):
    pairs = [
        {"prompt": f"Say {one}", "chosen": f" {one}", "rejected": f" {COLOURS[n % 4 - 1]}"}
        for n, one in enumerate(COLOURS * 6)
    ]
    data = write_lines(tmp_path / "pairs.jsonl", pairs)
    changes = {"objective.loss": loss, "trainer.learning_rate": 0.005, "trainer.max_epochs": 6}
    result = train("text-dpo", data, tmp_path / "out", backbone, **changes)
    assert result["validation"]["pair_accuracy"] > 0.9
    lines = [json.loads(line) for line in open(f"{result['run']}/log.jsonl", encoding="utf-8")]
    assert lines[-1]["val/loss_nats"] < lines[0]["val/loss_nats"]
    is_without = loss["name"] == "simpo"
    assert ("reference: log-probabilities" not in capsys.readouterr().err) == is_without


@pytest.mark.parametrize("limit", [1e-6, 100.0])
def test_a_guard_keeps_the_start_where_answers_move_too_far(backbone, tmp_path, limit, capsys):
    pairs = [
        {"prompt": f"Say {one}", "chosen": f" {one}", "rejected": f" {COLOURS[n % 4 - 1]}"}
        for n, one in enumerate(COLOURS * 6)
    ]
    data = write_lines(tmp_path / "pairs.jsonl", pairs)
    guard = {"num_prompts": 2, "max_tokens": 6, "max_kl_nats": limit, "max_length_change": 100}
    result = train("text-dpo", data, tmp_path / "out", backbone, **{"objective.guard": guard})
    lines = [json.loads(line) for line in open(f"{result['run']}/log.jsonl", encoding="utf-8")]
    assert all(line["val/answer_kl_nats"] > 1e-6 for line in lines)
    start = load_file(backbone / "model.safetensors")
    weights = load_file(f"{result['model']}/model.safetensors")
    is_start = all(torch.equal(weight, start[name]) for name, weight in weights.items())
    assert is_start == (limit < 1) == (result["best_epoch"] == 0)
    assert ("the start's weights are kept" in capsys.readouterr().err) == is_start


def test_activations_computed_again_give_the_same_weights(backbone, answers, tmp_path):
    weights = []
    for is_checkpointed in (False, True):
        changes = {"model.gradient_checkpointing": is_checkpointed, "trainer.max_epochs": 1}
        result = train("text-sft", answers, tmp_path / str(is_checkpointed), backbone, **changes)
        weights.append(load_file(f"{result['model']}/model.safetensors"))
    start = load_file(backbone / "model.safetensors")
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(weight, start[name]) for name, weight in weights[0].items())


def test_validation_files_replace_the_share(backbone, answers, tmp_path):
    lines = [{"prompt": f"Name {one}", "completion": " no"} for one in COLOURS[:3]]
    other = write_lines(tmp_path / "other.jsonl", lines)
    changes = {"data.validation": str(other), "trainer.max_epochs": 1}
    result = train("text-sft", answers, tmp_path / "out", backbone, **changes)
    assert result["details"]["examples"] == 20 and result["details"]["held_out_examples"] == 3
    seen = train(
        "text-sft",
        answers,
        tmp_path / "seen",
        backbone,
        **{**changes, "data.validation": str(answers)},
    )
    assert seen["validation"]["loss_nats"] < result["validation"]["loss_nats"]
    with pytest.raises(SeqRecError, match="none.jsonl: no such file"):
        missing = {"data.validation": str(tmp_path / "none.jsonl")}
        train("text-sft", answers, tmp_path / "broken", backbone, **missing)


def test_a_search_over_a_text_recipe_is_refused_in_a_line(backbone, answers, tmp_path):
    overrides = {"model.backbone": str(backbone)}
    with pytest.raises(SeqRecError, match="tune: searches over recipes for prepared data"):
        seqrec.tune("text-sft", data=answers, out=tmp_path / "out", overrides=overrides)
    assert not list(tmp_path.glob("out*"))
