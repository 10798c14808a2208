"""A language model under verification: it reads words, and has no catalog."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from seqrec.models.document_attention import flatten_documents, use_document_attention
from seqrec.models.documents import document_positions, find_document_ends, last_positions
from seqrec.models.language_model import load_language_model
from seqrec.verification.caches import decode_by_transformers
from seqrec.verification.findings import DoesNotApply
from seqrec.verification.rows import History, Rows, lay_out
from seqrec.verification.subject import Paths, Subject

MOST_TOKENS = 128
NUM_PROMPTS, NUM_GENERATED = 4, 8
PLAIN = "sdpa"
"""The attention of transformers with which packed rows are compared."""


class LanguageSubject(Subject):
    """A causal language model in the format of transformers, with its tokenizer.

    Far larger than a model of items: fewer and shorter texts are drawn.
    """

    num_drawn, short = 8, 16

    def __init__(self, folder: Path, generator: np.random.Generator) -> None:
        self.folder = folder
        self.model, self.tokenizer = load_language_model(folder)
        self.model.set_attn_implementation(PLAIN)
        pad = self.tokenizer.pad_token_id
        self.fills = {"input_ids": 0 if pad is None else pad}
        self.generator = generator

    @property
    def longest(self) -> int:
        limit = getattr(self.model.config, "max_position_embeddings", None) or MOST_TOKENS
        return min(limit, MOST_TOKENS)

    def draw_paths(self, lengths: Sequence[int], unknown_ids: Sequence[str]) -> Paths:
        num_words = min(len(self.tokenizer), len(self.model.get_input_embeddings().weight))
        sizes = [min(length, self.longest) for length in lengths]
        drawn = [self.generator.integers(num_words, size=size) for size in sizes]
        return Paths([{"input_ids": tokens} for tokens in drawn], {}, [])

    def load(self, folder: Path) -> dict[str, PreTrainedModel]:
        plain = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
        return {"seqrec": load_language_model(folder).model, "AutoModelForCausalLM": plain.eval()}

    def states(self, model: Any, rows: Rows) -> Float[Tensor, "B T D"]:
        """Return the states: in rows of one history by plain attention, else by document."""
        tokens, documents = rows.inputs["input_ids"], rows.documents
        decoder = model.get_decoder()
        if int(documents.max()) == 1:
            output = decoder(
                input_ids=tokens,
                attention_mask=(documents > 0).long(),
                position_ids=document_positions(documents).where(documents > 0, 0),
                use_cache=False,
            )
            return output.last_hidden_state
        if not use_document_attention(model):
            raise DoesNotApply(f"{type(model).__name__} has layers that need a dense mask")
        try:
            flat = flatten_documents(documents, model)
            packed = tokens.flatten()[flat.positions][None]
            found = decoder(input_ids=packed, **flat.arguments).last_hidden_state[0]
        finally:
            model.set_attn_implementation(PLAIN)
        states = found.new_zeros(documents.numel(), found.shape[-1])
        states[flat.positions] = found
        return states.view(*documents.shape, -1)

    def end_states(self, rows: Rows) -> Float[Tensor, "H D"]:
        numbers, slots, columns = find_document_ends(rows.documents)
        return self.states(self.model, rows)[numbers, columns[numbers, slots]]

    def scores(self, histories: Sequence[History]) -> Float[np.ndarray, "B V"]:
        width = max(len(history["input_ids"]) for history in histories)
        rows = lay_out(histories, [[n] for n in range(len(histories))], self.fills, width=width)
        last = last_positions(rows.documents)
        logits = self.model(
            input_ids=rows.inputs["input_ids"], attention_mask=rows.documents, use_cache=False
        ).logits
        found = logits[torch.arange(len(last)), last, : len(self.tokenizer)]
        return found.float().numpy()

    def full_states(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        return self.model.get_decoder()(input_ids=tokens, use_cache=False).last_hidden_state

    def decode(self, tokens: Int[Tensor, "B T"], num_steps: int) -> Float[Tensor, "B S D"]:
        return decode_by_transformers(self.model.get_decoder(), tokens, num_steps)

    def decoders(self) -> list[PreTrainedModel]:
        return [self.model.get_decoder()]

    def padding_rows(self) -> list[Tensor]:
        tables = (self.model.get_input_embeddings(), self.model.get_output_embeddings())
        return [table.weight.data[len(self.tokenizer) :] for table in tables if table is not None]

    def count_outside(self) -> int:
        """Return generated tokens that are no words, for a model that records its padding."""
        if getattr(self.model.config, "num_tokens", None) is None:
            return 0
        prompts = [one["input_ids"] for one in self.draw_paths([8] * NUM_PROMPTS, ()).serving]
        tokens = torch.from_numpy(np.stack(prompts))
        made = self.model.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=NUM_GENERATED
        )
        return int((made[:, tokens.shape[1] :] >= len(self.tokenizer)).sum())
