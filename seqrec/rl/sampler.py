"""The interface of samplers: prompts in, slates and their exact log-probabilities out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.prompts import Prompts
from seqrec.rl.slates import Slates, Step


class Sampler(Protocol):
    """One way to sample slates for prompts.

    Workers, learner and reference use only these methods; a policy that generates text or codes is
    another implementation.
    """

    def tokenize(self, model: SeqRecForNextItem, prompts: Prompts) -> PromptBatch:
        """Return the prompts' histories as the model reads them."""
        ...

    def draw(
        self, model: SeqRecForNextItem, batch: PromptBatch, generator: torch.Generator | None
    ) -> Slates:
        """Draw slates for every prompt; without a generator the most probable one."""
        ...

    def steps(self, model: SeqRecForNextItem, batch: PromptBatch, slates: Slates) -> list[Step]:
        """Return the distributions that slates came from, under a model; with gradients."""
        ...

    def log_probs(self, steps: Sequence[Step], slates: Slates) -> Float[Tensor, "B G W"]:
        """Return the log-probabilities of the slates' parts, each given those before it."""
        ...

    def first_choices(self, steps: Sequence[Step], num_prompts: int) -> Sequence[Step]:
        """Return the steps whose entropies sum to that of the first choice."""
        ...


@dataclass(frozen=True)
class SlateSettings:
    """Number and size of slates, and the temperature that they are drawn at."""

    num_slates: int
    """Slates of each prompt."""
    slate_size: int
    temperature: float
    """Divisor of logits; log-probabilities are of the divided logits."""
    max_length: int
    """Items that the model reads, history and slate together."""

    def get_draw_settings(self, generator: torch.Generator | None) -> tuple[int, float]:
        """Return the number of slates and the temperature; 1 and 1.0 without a generator."""
        return (1, 1.0) if generator is None else (self.num_slates, self.temperature)
