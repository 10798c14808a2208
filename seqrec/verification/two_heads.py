"""A model that answers with items and with words, in the folder of a language model."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from seqrec.models.folder import load_model
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.two_heads import write_two_heads
from seqrec.tokens.tokenizer import item_token
from seqrec.verification.chats import check_chats
from seqrec.verification.findings import Measured
from seqrec.verification.next_item import NextItemSubject

NUM_REQUESTS, NUM_GENERATED = 8, 8
NUM_CHATS_SHARE, LEAST_CHATS = 10, 8
"""Random histories for one random chat, and the least number of chats."""


class TwoHeadSubject(NextItemSubject):
    """A next-item model over a language model whose word head it keeps."""

    @cached_property
    def plain(self) -> Any:
        """The causal language model of the folder, as transformers loads it."""
        load = AutoModelForCausalLM.from_pretrained
        return load(self.folder, trust_remote_code=False, dtype=torch.float32).eval()

    def draw_requests(self, number: int) -> list[str]:
        """Return random requests in words that name items."""
        item_ids, requests = self.recommender.item_ids, []
        for _ in range(number):
            items = self.generator.integers(len(item_ids), size=2).tolist()
            named = [item_token(item_ids[item]) for item in items]
            requests.append(f"I liked {named[0]}, but {named[1]} less.")
        return requests

    def save(self, folder: Path) -> None:
        write_two_heads(folder, self.model, self.model.state_dict(), self.tokenizer)

    def load(self, folder: Path) -> dict[str, PreTrainedModel]:
        load: Any = AutoModelForCausalLM.from_pretrained
        words = load(folder, trust_remote_code=False, dtype=torch.float32)
        other = SeqRecForNextItem.over(self.model.config, words)
        loaded = load_model(folder)
        other.head.load_state_dict(loaded.head.state_dict())
        return {"seqrec": loaded, "AutoModelForCausalLM": other.eval()}

    def more_properties(self, num_drawn: int) -> dict[str, Callable[[Any], Measured]]:
        number = max(num_drawn // NUM_CHATS_SHARE, LEAST_CHATS)
        return {
            "tokens of chats": partial(check_chats, num_chats=number),
            "catalog head": check_catalog_head,
            "word head": check_word_head,
        }


@torch.inference_mode()
def check_catalog_head(subject: TwoHeadSubject) -> Measured:
    """Compare lists for texts with products of transformers' states and the head's vectors.

    Every list is one of items alone, and whole.
    """
    requests, reader = subject.draw_requests(NUM_REQUESTS), subject.recommender.texts
    head, plain, worst = subject.model.head, subject.plain, 0.0
    vectors = head(plain.get_input_embeddings().weight)
    number = len(subject.recommender.item_ids)
    for request in requests:
        (lists,) = subject.recommender.recommend(text=request, k=number, exclude_seen=False)
        rows, unknown = subject.recommender.table.find([item_id for item_id, _ in lists])
        if unknown or len(set(rows.tolist())) < number:
            return Measured(number - len(set(rows.tolist())), 0, "items that a list lacks")
        tokens = torch.tensor([reader.encoder.request_tokens(request, "text")])
        states = plain.base_model(input_ids=tokens, use_cache=False).last_hidden_state
        expected = (head.project(states[0, -1]) @ vectors.T).numpy()
        found = np.empty(number)
        found[rows] = [score for _, score in lists]
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    return Measured(
        worst, subject.float_bound, f"scores of {number:,} items after {NUM_REQUESTS} texts"
    )


@torch.inference_mode()
def check_word_head(subject: TwoHeadSubject) -> Measured:
    """Count answers in words that differ from transformers' own, and tokens that are no words."""
    requests, reader = subject.draw_requests(NUM_REQUESTS), subject.recommender.texts
    plain = subject.plain
    words: Any = AutoTokenizer.from_pretrained(subject.folder, trust_remote_code=False)
    num_different, num_outside = 0, 0
    for request in requests:
        (answer,) = subject.recommender.generate([request], max_tokens=NUM_GENERATED)
        tokens = torch.tensor([reader.encoder.request_tokens(request, "text")])
        made = plain.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=NUM_GENERATED,
            do_sample=False,
        )[0, tokens.shape[1] :]
        num_outside += int((made >= len(words)).sum())
        num_different += answer != words.decode(made, skip_special_tokens=True).strip()
    note = f"{NUM_REQUESTS} answers of {NUM_GENERATED} tokens"
    if num_outside or num_different:
        note += f"; {num_outside} tokens of padding, {num_different} other answers"
    return Measured(num_outside + num_different, 0, note)
