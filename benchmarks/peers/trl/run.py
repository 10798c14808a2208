"""Times TRL's GRPO trainer on histories of items: one update, as seqrec's own is timed.

A Llama of seqrec's size whose words are items; prompts are histories, completions slates. It runs
in its own environment, without seqrec, and prints one JSON object as its last line.
"""

import argparse
import json
import platform
import resource
import tempfile
import time
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

SPECIALS = ["<pad>", "<unk>", "<end>"]
WARMUP_UPDATES = 3


def main() -> None:
    """Run what the command line asks for and print its measurements."""
    args = parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    clock = Clock()
    trainer = build_trainer(args, clock)
    trainer.train()
    seconds = clock.seconds[WARMUP_UPDATES:]
    print(
        json.dumps(
            {
                "system": f"TRL {version('trl')}",
                "update_seconds": seconds,
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "versions": {
                    "python": platform.python_version(),
                    **{name: version(name) for name in ("trl", "torch", "transformers")},
                },
            }
        )
    )


def build_trainer(args: argparse.Namespace, clock: "Clock") -> GRPOTrainer:
    """The trainer of a small decoder on random histories, with a reward that is a lookup."""
    titles = [f"t{number}" for number in range(args.items)]
    words = {word: place for place, word in enumerate([*SPECIALS, *titles])}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", unk_token="<unk>", eos_token="<end>"
    )
    tokenizer.padding_side = "left"
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=-(-len(words) // 64) * 64,
            hidden_size=args.hidden_size,
            intermediate_size=args.inner_size,
            num_hidden_layers=args.blocks,
            num_attention_heads=args.heads,
            max_position_embeddings=args.max_length + args.titles,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=2,
            bos_token_id=None,
        )
    )
    folder = tempfile.mkdtemp()
    model.save_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder)  # TRL opens its reference by the model's path
    rng = np.random.default_rng(0)
    worth = rng.random(model.config.vocab_size)  # padding rows can be drawn by random weights
    num_updates = args.updates + WARMUP_UPDATES
    lengths = rng.integers(10, args.max_length + 1, args.histories * num_updates)
    prompts = [" ".join(rng.choice(titles, length, replace=False)) for length in lengths]

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [float(worth[ids].mean()) for ids in completion_ids]

    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=False,
        fp16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=args.histories * args.slates,
        num_generations=args.slates,
        max_completion_length=args.titles,
        generation_kwargs={"min_new_tokens": args.titles},
        beta=0.04,
        max_steps=num_updates,
        learning_rate=1e-4,
        report_to="none",
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
    )
    return GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tokenizer,
        callbacks=[clock],
    )


class Clock(TrainerCallback):
    """Seconds of every update, generation among them."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._last = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


def parse_args() -> argparse.Namespace:
    """Sizes, as seqrec's side has them."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("histories", 8),
        ("slates", 8),
        ("titles", 3),
        ("items", 3416),
        ("max-length", 100),
        ("hidden-size", 64),
        ("inner-size", 256),
        ("blocks", 2),
        ("heads", 2),
        ("threads", 2),
        ("updates", 10),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
