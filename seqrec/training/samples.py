"""Samples of a language model's answers, printed during training."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from seqrec.models.document_kernel import IMPLEMENTATION


class Samples(Callback):
    """Prints an answer of the model every so many steps, to stderr.

    Answers are the most likely ones, so that no random number is drawn.
    """

    def __init__(
        self,
        prompts: Callable[[int], list[int]],
        decode: Callable[[list[int]], str],
        *,
        steps: int,
        max_tokens: int,
        end_token_id: int,
    ) -> None:
        """Set the prompts.

        Args:
            prompts: returns the tokens of the n-th prompt.
            decode: returns the text of tokens.
            steps: steps between two samples; 0: none.
            max_tokens: longest answer.
            end_token_id: the token that ends an answer.
        """
        self.prompts = prompts
        self.decode = decode
        self.steps = steps
        self.max_tokens = max_tokens
        self.end_token_id = end_token_id
        self._last = -1

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        step = trainer.global_step
        is_due = self.steps and step and step != self._last and step % self.steps == 0
        if not is_due or not trainer.is_global_zero:
            return
        self._last = step
        prompt = self.prompts(step // self.steps - 1)
        answer = generate(
            module.model, prompt, max_tokens=self.max_tokens, end_token_id=self.end_token_id
        )
        text = " ".join(self.decode(prompt).split())
        print(f"step {step}  {text[-200:]!r}", file=sys.stderr)
        print(f"  -> {self.decode(answer).strip()!r}", file=sys.stderr, flush=True)


@torch.no_grad()
def generate(
    model: Any,
    prompt: list[int],
    *,
    max_tokens: int,
    end_token_id: int,
    seed: int | None = None,
) -> list[int]:
    """Return the most likely continuation of a prompt, up to its end token.

    Args:
        model: a causal language model, or an adapter around one.
        prompt: tokens.
        max_tokens: longest continuation.
        end_token_id: the token that ends it.
        seed: draw the continuation from the model's distribution, with this seed.
    """
    is_training = model.training
    model.eval()
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    plain.set_attn_implementation("sdpa")
    tokens = torch.tensor([prompt], device=plain.device)
    drawn = {"do_sample": False} if seed is None else {"do_sample": True, "top_k": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        found = plain.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=max_tokens,
            eos_token_id=end_token_id,
            pad_token_id=end_token_id,
            **drawn,
        )
    plain.set_attn_implementation(IMPLEMENTATION)
    model.train(is_training)
    return found[0, len(prompt) :].tolist()
