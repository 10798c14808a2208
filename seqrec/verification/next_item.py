"""A next-item model under verification."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from seqrec.models.ensemble import EnsembleDecoder
from seqrec.models.folder import load_model
from seqrec.models.heads import UntiedCatalogHead
from seqrec.models.native.decoder import SeqRecDecoder
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.times import NO_TIME
from seqrec.tokens.tokenizer import load_tokenizer
from seqrec.verification.caches import decode_by_transformers, decode_natively
from seqrec.verification.drawn_logs import draw_log
from seqrec.verification.encodings import serving_inputs, text_inputs, training_inputs
from seqrec.verification.findings import DoesNotApply
from seqrec.verification.rows import History, Rows, lay_out
from seqrec.verification.subject import Paths, Subject

NUM_LISTS = 16
FEW, SHORT = 8, 16
"""Random histories, and events of the short ones, for decoders of transformers, which are far
larger."""


class NextItemSubject(Subject):
    """A next-item model of any decoder, loaded as for recommendations."""

    recommender: Recommender

    def __init__(self, folder: Path, generator: np.random.Generator) -> None:
        self.folder = folder
        self.recommender = Recommender.from_pretrained(folder)
        self.model = self.recommender.model
        self.tokenizer = load_tokenizer(folder)
        self.blocks = self.recommender.tokens.blocks
        self.table = self.recommender.table
        self.fills = {"input_ids": self.model.pad_token_id, "times": NO_TIME}
        self.generator = generator
        if not all(isinstance(one, SeqRecDecoder) for one in self.decoders()):
            self.num_drawn, self.short = FEW, SHORT

    def draw_paths(self, lengths: Sequence[int], unknown_ids: Sequence[str]) -> Paths:
        log = draw_log(self.recommender, lengths, unknown_ids, self.generator)
        plain = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        return Paths(
            serving_inputs(self.recommender, log),
            training_inputs(self.recommender, log),
            text_inputs(self.recommender, plain, log),
        )

    def load(self, folder: Path) -> dict[str, PreTrainedModel]:
        plain = AutoModel.from_pretrained(folder, trust_remote_code=False)
        return {"seqrec": load_model(folder), "AutoModel": plain.eval()}

    def states(self, model: Any, rows: Rows) -> Float[Tensor, "B T D"]:
        return model.hidden_states(attention_mask=rows.documents, **rows.inputs)

    def end_states(self, rows: Rows) -> Float[Tensor, "H D"]:
        return self.model.document_states(documents=rows.documents, **rows.inputs)

    def scores(self, histories: Sequence[History]) -> Float[np.ndarray, "B I"]:
        width = max(len(history["input_ids"]) for history in histories)
        rows = lay_out(histories, [[n] for n in range(len(histories))], self.fills, width=width)
        recent = self.model.recent_items(rows.inputs["input_ids"], rows.documents)
        last = (rows.documents > 0).sum(dim=1) - 1
        at = torch.arange(len(last))
        recent = None if recent is None else recent[at, last]
        number = self.model.config.num_items
        scores = self.model.catalog_scores(self.end_states(rows), recent, num_items=number)
        return scores.logits(slice(0, number)).float().numpy()

    def full_states(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        return self.model.hidden_states(tokens)

    def decode(self, tokens: Int[Tensor, "B T"], num_steps: int) -> Float[Tensor, "B S D"]:
        config = self.model.config
        if not config.causal:
            raise DoesNotApply("every position reads the whole history, so no state can be kept")
        if config.tokens_per_position > 1:
            raise DoesNotApply("the tokens of an event share a position, so none is decoded alone")
        if all(isinstance(decoder, SeqRecDecoder) for decoder in self.decoders()):
            return decode_natively(self.model, tokens, num_steps)
        states = decode_by_transformers(self.model.backbone, tokens, num_steps)
        return self.model.read_out(states)

    def decoders(self) -> list[PreTrainedModel]:
        backbone = self.model.backbone
        return backbone.decoders() if isinstance(backbone, EnsembleDecoder) else [backbone]

    def padding_rows(self) -> list[Tensor]:
        tables: list[Any] = [one.get_input_embeddings() for one in self.decoders()]
        views = [table.weight.data[len(self.tokenizer) :] for table in tables]
        head = self.model.head
        if isinstance(head, UntiedCatalogHead):
            views.append(head.table.weight.data[len(self.recommender.table) :])
        return views

    def count_outside(self) -> int:
        """Return the items of whole lists that are outside the catalog, or that lists lack."""
        num_items = len(self.recommender.table)
        drawn = self.generator.integers(num_items, size=(NUM_LISTS, 5))
        ranked = self.recommender.rank(list(drawn), num_items + 64, exclude_seen=False)
        expected = np.arange(num_items)
        return sum(len(np.setxor1d(items, expected)) for items in ranked.items.numpy())
