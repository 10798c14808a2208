"""A next-item model under verification."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel

from seqrec.models.ensemble import EnsembleDecoder
from seqrec.models.folder import load_model
from seqrec.models.heads import UntiedCatalogHead
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.times import NO_TIME
from seqrec.tokens.tokenizer import load_tokenizer
from seqrec.verification.drawn_logs import draw_log
from seqrec.verification.encodings import serving_inputs, text_inputs, training_inputs
from seqrec.verification.rows import History, Rows, lay_out
from seqrec.verification.subject import Paths, Subject


class NextItemSubject(Subject):
    """A next-item model of any decoder, loaded as for recommendations."""

    def __init__(self, folder: Path, generator: np.random.Generator) -> None:
        self.folder = folder
        self.recommender = Recommender.from_pretrained(folder)
        self.model = self.recommender.model
        self.tokenizer = load_tokenizer(folder)
        self.blocks = self.recommender.tokens.blocks
        self.table = self.recommender.table
        self.fills = {"input_ids": self.model.pad_token_id, "times": NO_TIME}
        self.generator = generator

    def draw_paths(self, lengths: Sequence[int], unknown_ids: Sequence[str]) -> Paths:
        log = draw_log(self.recommender, lengths, unknown_ids, self.generator)
        plain = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        return Paths(
            serving_inputs(self.recommender, log),
            training_inputs(self.recommender, log),
            text_inputs(self.recommender, plain, log),
        )

    def load(self, folder: Path) -> PreTrainedModel:
        return load_model(folder)

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

    def decoders(self) -> list[PreTrainedModel]:
        backbone = self.model.backbone
        return backbone.decoders() if isinstance(backbone, EnsembleDecoder) else [backbone]

    def item_tables(self) -> list[Tensor]:
        head = self.model.head
        return [head.table.weight] if isinstance(head, UntiedCatalogHead) else []
