"""Text jobs from end to end: a language model learns, resumes, and loads elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import seqrec
from seqrec.errors import SeqRecError
from seqrec.models.adapters import load_adapter
from tests.language import save_tiny_llama, tiny_llama

COLOURS = ("red", "green", "blue", "black")
QUICK = {
    "data.row_length": 256,
    "data.max_length": 200,
    "data.held_out_share": 0.2,
    "trainer.max_epochs": 4,
    "trainer.learning_rate": 0.02,
    "trainer.accumulate_batches": 2,
    "trainer.precision": "float32",
    "trainer.warmup_steps": 2,
    "trainer.sample_steps": 5,
    "trainer.sample_tokens": 4,
    "model.tuning": {"name": "lora", "rank": 8, "alpha": 16.0},
}


def chat(number):
    colour = COLOURS[number % 4]
    return {
        "messages": [
            {"role": "user", "content": f"Say {colour}"},
            {"role": "assistant", "content": colour},
        ]
    }


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chats")
    lines = [json.dumps(chat(number)) for number in range(30)]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n\n")
    pl.DataFrame([chat(number) for number in range(30, 40)]).write_parquet(folder / "b.parquet")
    return folder


def train(recipe, data, out, backbone, **changes):
    overrides = {**QUICK, "model.backbone": str(backbone), **changes}
    return seqrec.train(recipe, data=data, out=out, overrides=overrides)


@pytest.fixture(scope="module")
def run(chats, backbone, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "sft"
    return train("text-sft", chats, out, backbone)


def test_sft_learns_and_writes_a_run_folder(run, backbone, tmp_path):
    lines = [json.loads(line) for line in open(f"{run['run']}/log.jsonl", encoding="utf-8")]
    losses = [line["val/loss_nats"] for line in lines]
    assert losses[-1] < losses[0] / 2
    assert run["validation"]["perplexity"] == pytest.approx(2.718281828 ** min(losses), rel=1e-3)
    assert run["details"]["examples"] == 32 and run["details"]["held_out_examples"] == 8
    adapted = load_adapter(tiny_llama(), Path(run["run"]) / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(run["model"], trust_remote_code=False)
    tokens = torch.arange(40)[None]
    torch.testing.assert_close(
        merged(input_ids=tokens).logits, adapted(input_ids=tokens).logits, rtol=1e-4, atol=1e-4
    )


def test_the_model_loads_and_generates_where_seqrec_is_not_installed(run):
    script = (
        "import sys; sys.modules['seqrec'] = None\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f"model = AutoModelForCausalLM.from_pretrained({run['model']!r})\n"
        f"words = AutoTokenizer.from_pretrained({run['model']!r})\n"
        "chat = [{'role': 'user', 'content': 'Say green'}]\n"
        "tokens = words.apply_chat_template(chat, add_generation_prompt=True, "
        "return_tensors='pt', return_dict=True)\n"
        "found = model.generate(**tokens, max_new_tokens=8, do_sample=False)\n"
        "print(repr(words.decode(found[0, tokens['input_ids'].shape[1]:])))\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip().endswith("<|im_end|>'") or len(answer.stdout) > 4


def test_a_run_that_ends_within_an_epoch_resumes_to_the_same_weights(
    chats, backbone, run, tmp_path, monkeypatch
):
    from seqrec.objectives import text_sft

    calls, plain = [], text_sft.text_loss

    def interrupted(model, batch, **settings):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return plain(model, batch, **settings)

    monkeypatch.setattr(text_sft, "text_loss", interrupted)
    out = tmp_path / "sft"
    with pytest.raises(KeyboardInterrupt):
        train("text-sft", chats, out, backbone, **{"trainer.checkpoint_minutes": 1e-9})
    monkeypatch.undo()
    overrides = {**QUICK, "model.backbone": str(backbone)}
    again = seqrec.train("text-sft", data=chats, out=out, overrides=overrides, resume=True)
    assert again["validation"] == run["validation"]
    weights = [load_file(f"{one['model']}/model.safetensors") for one in (run, again)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_dpo_raises_the_chosen_answers(backbone, tmp_path, capsys):
    lines = [
        {"prompt": f"Say {one}", "chosen": f" {one}", "rejected": f" {COLOURS[n % 4 - 1]}"}
        for n, one in enumerate(COLOURS * 6)
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = train("text-dpo", data, tmp_path / "dpo", backbone)
    assert result["validation"]["pair_accuracy"] > 0.9
    assert result["validation"]["loss_nats"] < 0.5 < 0.6931
    assert "24 examples" not in capsys.readouterr().out
    liked = tmp_path / "liked.jsonl"
    singles = [
        {"prompt": line["prompt"], "completion": line[side], "label": side == "chosen"}
        for line in lines
        for side in ("chosen", "rejected")
    ]
    liked.write_text("".join(json.dumps(line) + "\n" for line in singles))
    result = train("text-kto", liked, tmp_path / "kto", backbone)
    assert result["validation"]["loss_nats"] < 0.45


@pytest.mark.parametrize("top_k", [None, 20])
def test_a_smaller_model_learns_from_a_larger_one(run, chats, tmp_path, top_k):
    small = save_tiny_llama(tmp_path / "small", 1, width=16)
    changes = {"objective.teacher": run["model"], "objective.top_k": top_k, "trainer.max_epochs": 6}
    result = train("text-distill", chats, tmp_path / "out", small, **changes)
    lines = [json.loads(line) for line in open(f"{result['run']}/log.jsonl", encoding="utf-8")]
    assert result["validation"]["loss_nats"] < lines[0]["val/loss_nats"] - 0.1


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"messages": [', r"line 2: is not JSON"),
        ("[1, 2]", r"line 2: \[1, 2\] is no JSON object"),
        (r'{"text": "half of a pair: \ud83d"}', r"line 2: is not JSON .*surrogates not allowed"),
        ('{"title": "Heat"}', r"line 2: has the keys title"),
        ('{"messages": [{"role": "critic", "content": "Hm"}]}', r"line 2: role 'critic'"),
    ],
)
def test_broken_lines_are_named_by_number(backbone, tmp_path, line, cause):
    data = tmp_path / "chats.jsonl"
    data.write_text(json.dumps(chat(0)) + "\n" + line + "\n")
    with pytest.raises(SeqRecError, match=cause):
        train("text-sft", data, tmp_path / "out", backbone)
    assert not (tmp_path / "out").exists()


def test_data_without_an_example_and_paths_without_files_are_refused(backbone, tmp_path):
    data = tmp_path / "chats.jsonl"
    data.write_text('{"text": ""}\n')
    with pytest.raises(SeqRecError, match=r"no example is left to learn from \(1 examples empty\)"):
        train("text-sft", data, tmp_path / "out", backbone)
    for path, cause in (("none.jsonl", "no such file"), ("x*.jsonl", "no such file")):
        with pytest.raises(SeqRecError, match=cause):
            train("text-sft", tmp_path / path, tmp_path / "out", backbone)
    (tmp_path / "notes.txt").write_text("hm")
    with pytest.raises(SeqRecError, match="is no file of examples by its name"):
        train("text-sft", tmp_path / "notes.txt", tmp_path / "out", backbone)
