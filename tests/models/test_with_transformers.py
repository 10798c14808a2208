"""The model among transformers' tools: Trainer, Auto classes, checkpointing, attention."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, Trainer, TrainingArguments

from seqrec.models import SeqRecForNextItem
from tests.conftest import save_small_model, small_config

FIRST = 2
"""The token of item 0 of ``small_config``."""


def test_labels_give_the_loss_of_a_causal_language_model(small_model):
    tokens = torch.randint(FIRST, FIRST + 100, (3, 10))
    mask = torch.ones_like(tokens)
    tokens[1, 6:], mask[1, 6:] = 0, 0
    labels = tokens.masked_fill(mask == 0, -100)
    labels[2, 4] = -100
    output = small_model(input_ids=tokens, attention_mask=mask, labels=labels)
    logits = output.last_hidden_state @ small_model.item_weight().T
    expected = F.cross_entropy(
        logits[:, :-1].flatten(0, 1).double(),
        (labels[:, 1:] - FIRST).where(labels[:, 1:] >= 0, -100).flatten(),
    )
    torch.testing.assert_close(output.loss.double(), expected)
    assert small_model(input_ids=tokens, attention_mask=mask).loss is None


def test_no_label_crosses_from_one_packed_history_to_the_next(small_model):
    tokens = torch.randint(FIRST, FIRST + 100, (1, 9))
    documents = torch.tensor([[1] * 5 + [2] * 4])
    packed = small_model(input_ids=tokens, attention_mask=documents, labels=tokens).loss
    parts = [small_model(input_ids=part, labels=part).loss for part in tokens.split([5, 4], dim=1)]
    torch.testing.assert_close(packed, (4 * parts[0] + 3 * parts[1]) / 7)


def test_a_model_that_reads_later_items_takes_no_labels():
    model = SeqRecForNextItem(small_config(causal=False))
    tokens = torch.randint(FIRST, FIRST + 100, (1, 5))
    with pytest.raises(ValueError, match="have read the next token"):
        model(input_ids=tokens, labels=tokens)


def test_the_trainer_of_transformers_lowers_the_loss(small_model, tmp_path):
    rows = [torch.arange(FIRST + n, FIRST + n + 8) for n in range(64)]
    data = [{"input_ids": row, "labels": row} for row in rows]
    settings = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=12,
        learning_rate=1e-2,
        per_device_train_batch_size=16,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        gradient_checkpointing=True,
    )
    trainer = Trainer(model=small_model, args=settings, train_dataset=data, eval_dataset=data)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before - 1


@pytest.mark.parametrize("changes", [{}, {"block": "hstu"}, {"block": "sasrec"}])
def test_checkpointed_blocks_have_the_same_gradients(changes):
    config = small_config(**changes)
    config.backbone_config.dropout = 0.3
    model = SeqRecForNextItem(config).train()
    tokens = torch.randint(FIRST, FIRST + 100, (4, 10))
    gradients = []
    for is_on in (False, True):
        if is_on:
            model.gradient_checkpointing_enable()
            assert model.backbone.gradient_checkpointing
        torch.manual_seed(1)
        model.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert gradients[0] and len(gradients[0]) == len(gradients[1])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


def test_the_attention_that_it_always_uses_may_be_named(tmp_path):
    folder = save_small_model(tmp_path / "model")
    model = AutoModel.from_pretrained(folder, attn_implementation="sdpa").eval()
    tokens = torch.randint(FIRST, FIRST + 100, (2, 8))
    plain = AutoModel.from_pretrained(folder).eval()
    assert torch.equal(model(input_ids=tokens).logits, plain(input_ids=tokens).logits)


@pytest.mark.parametrize(
    "start",
    [
        "import seqrec; from transformers import AutoModel, AutoTokenizer",
        "from transformers import AutoModel, AutoTokenizer; import seqrec",
        "import seqrec; from transformers import AutoTokenizer; import transformers.trainer; "
        "from transformers import AutoModel",
        "import seqrec, transformers; from transformers import PreTrainedModel, pipeline, Trainer; "
        "AutoModel, AutoTokenizer = transformers.AutoModel, transformers.AutoTokenizer",
    ],
)
def test_auto_classes_know_the_model_after_import_seqrec_alone(tmp_path, start):
    folder = save_small_model(tmp_path / "model")
    code = f"{start}\nmodel = AutoModel.from_pretrained({str(folder)!r})\n"
    code += f"words = AutoTokenizer.from_pretrained({str(folder)!r})('<item:t5>')['input_ids']\n"
    code += "print(type(model).__name__, words)"
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.strip().endswith("SeqRecForNextItem [7]")
