"""Losses and steps on text agree with TRL's trainers on the same batch."""

import copy
import warnings

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from seqrec.losses.preference import dpo
from seqrec.models.adapters import add_lora
from seqrec.models.document_attention import require_document_attention
from seqrec.tokens.text.batches import batch_pairs, batch_texts
from seqrec.tokens.text.examples import ExampleEncoder
from seqrec.training.steps.text import text_loss
from seqrec.training.steps.text_preference import TextReference, text_preference_loss
from seqrec.training.tensors import as_tensors
from tests.language import build_byte_tokenizer, tiny_llama

RATE = 0.3
ANSWERS = [
    {"prompt": "2 + 2 =", "completion": " 4"},
    {"prompt": "The capital of France is", "completion": " Paris, which lies on the Seine"},
    {"prompt": "Say", "completion": " hello to everybody in the room"},
]
PAIRS = [
    {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5, or so I think"},
    {"prompt": "The capital of France is", "chosen": " Paris", "rejected": " Rome"},
]
SETTINGS = {
    "per_device_train_batch_size": len(ANSWERS),
    "max_steps": 2,
    "learning_rate": RATE,
    "lr_scheduler_type": "constant",
    "optim": "sgd",
    "max_grad_norm": 1e9,
    "logging_steps": 1,
    "report_to": "none",
    "bf16": False,
    "use_cpu": True,
    "save_strategy": "no",
    "gradient_checkpointing": False,
    "disable_tqdm": True,
}


def build(has_lora):
    """A model that both trainers start from, in training mode."""
    model = tiny_llama()
    if has_lora:
        torch.manual_seed(1)
        model = add_lora(model, rank=4, alpha=8)
        for name, parameter in model.named_parameters():  # not at 0, so that A has a gradient
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def take_steps(model, compute_loss):
    """Two steps of plain gradient descent; return the losses."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    require_document_attention(plain)
    losses = []
    for _ in range(2):
        loss = compute_loss(model)
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= RATE * parameter.grad
                    parameter.grad = None
    return losses


def check_agreement(trainer, model, losses):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train()
    theirs = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses == pytest.approx(theirs, abs=1e-4)
    assert losses[1] < losses[0] - 0.01
    weights = dict(trainer.model.named_parameters())
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, weights[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("has_lora", [False, True])
@pytest.mark.parametrize("packing", [False, True])
def test_two_steps_of_sft_are_those_of_trl(tmp_path, has_lora, packing):
    tokenizer, model = build_byte_tokenizer(), build(has_lora)
    other = copy.deepcopy(model)
    encoder = ExampleEncoder(tokenizer, "tiny", 64, "drop")
    examples = [encoder.encode(record, "line") for record in ANSWERS]
    batch = as_tensors(batch_texts(examples, range(len(ANSWERS))))
    losses = take_steps(model, lambda model: text_loss(model, batch))
    more = {"packing": True, "max_length": 128} if packing else {}
    trainer = SFTTrainer(
        other,
        SFTConfig(str(tmp_path), **SETTINGS, **more),
        train_dataset=Dataset.from_list(ANSWERS),
        processing_class=tokenizer,
    )
    check_agreement(trainer, model, losses)


@pytest.mark.parametrize("has_lora", [False, True])
def test_two_steps_of_dpo_are_those_of_trl(tmp_path, has_lora):
    tokenizer, model = build_byte_tokenizer(), build(has_lora)
    if has_lora:  # TRL's reference is the model without the adapter, which it starts from
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.zeros_(parameter)
    other = copy.deepcopy(model)
    encoder = ExampleEncoder(tokenizer, "tiny", 64, "drop")
    pairs = [encoder.encode_pair(record, "line") for record in PAIRS]
    batch = as_tensors(batch_pairs(pairs, range(len(PAIRS))))
    reference = TextReference(len(PAIRS))

    def loss(answers_policy, answers_reference, answers):
        return dpo(answers_policy, answers_reference, answers, beta=0.1, label_smoothing=0.0)

    require_document_attention(model.get_base_model() if has_lora else model)
    reference.fill(model, [batch])
    losses = take_steps(
        model, lambda model: text_preference_loss(model, batch, loss=loss, reference=reference)
    )
    trainer = DPOTrainer(
        other,
        None if has_lora else copy.deepcopy(other),
        DPOConfig(str(tmp_path), **SETTINGS, beta=0.1, max_length=128),
        train_dataset=Dataset.from_list(PAIRS),
        processing_class=tokenizer,
    )
    check_agreement(trainer, model, losses)
