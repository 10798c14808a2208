"""Training steps of TRL's trainers on the same records."""

import tempfile
import time
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from benchmarks.engine.machine import forget_peak, memory_mb
from benchmarks.language.texts import ALPHA, BACKBONE, RANK, RATE, Timed
from seqrec.models.language_model import load_language_model


class StepTimes(TrainerCallback):
    """Notes when steps begin and end, and the memory before the first."""

    def __init__(self) -> None:
        self.begun = self.before_mb = 0.0
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        if not self.seconds:
            forget_peak()
            self.before_mb = memory_mb()
        self.begun = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop it: weights are updated."""
        self.seconds.append(time.perf_counter() - self.begun)


def time_steps(
    kind: str, records: list[Any], num_steps: int, is_lora: bool, settings: dict[str, Any]
) -> Timed:
    """Time the first steps of ``sft`` or ``dpo`` under some settings of their configuration."""
    dtype = torch.bfloat16 if is_lora else torch.float32
    model, tokenizer = load_language_model(BACKBONE, dtype=dtype)
    lora = LoraConfig(
        task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, lora_dropout=0, target_modules="all-linear"
    )
    times, tokens = StepTimes(), []
    trainer_kind, config_kind = (
        (SFTTrainer, SFTConfig) if kind == "sft" else (DPOTrainer, DPOConfig)
    )
    with tempfile.TemporaryDirectory() as folder:
        config = config_kind(
            folder,
            max_steps=num_steps,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            bf16=True,
            use_cpu=True,
            gradient_checkpointing=False,
            logging_steps=10_000,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **settings,
        )
        trainer = trainer_kind(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(records),
            processing_class=tokenizer,
            peft_config=lora if is_lora else None,
            callbacks=[times],
        )
        plain = trainer.compute_loss

        def compute_loss(model: Any, inputs: Any, *others: Any, **more: Any) -> Any:
            mask = inputs.get("attention_mask")
            tokens.append(inputs["input_ids"].numel() if mask is None else int(mask.sum()))
            return plain(model, inputs, *others, **more)

        trainer.compute_loss = compute_loss
        trainer.train()
    return Timed(tokens, times.seconds, times.before_mb)
