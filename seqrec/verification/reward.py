"""A reward model under verification."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from seqrec.data.catalog import read_model_items
from seqrec.data.item_table import ItemTable
from seqrec.models.folder import ITEMS_FILE, load_reward_model
from seqrec.models.heads import UntiedCatalogHead
from seqrec.tokens.streams.placement import pack_rows
from seqrec.tokens.streams.rated_packing import pack_prompts, pack_rated
from seqrec.tokens.streams.ratings import START, rating_rows
from seqrec.tokens.streams.windows import training_windows
from seqrec.tokens.tokenizer import ItemTokens, history_text, load_tokenizer
from seqrec.verification.findings import DoesNotApply
from seqrec.verification.rows import History, Rows, lay_out, split_rows
from seqrec.verification.subject import Paths, Subject

MISSING_SHARE = 0.1
NUM_CANDIDATES = 256
SCORES_WHOLE = "a reward model scores whole histories; it does not decode"


class RewardSubject(Subject):
    """A reward model; its histories hold ratings, and it scores candidates."""

    table: ItemTable

    def __init__(self, folder: Path, generator: np.random.Generator) -> None:
        self.folder = folder
        self.model = load_reward_model(folder)
        self.tokenizer = load_tokenizer(folder)
        self.table = ItemTable.build(read_model_items(folder / ITEMS_FILE))
        self.tokens = ItemTokens.of(self.tokenizer, self.table.item_ids)
        self.blocks = self.tokens.blocks
        self.fills = {"input_ids": self.model.pad_token_id, "ratings": START}
        self.generator = generator

    def draw_paths(self, lengths: Sequence[int], unknown_ids: Sequence[str]) -> Paths:
        levels, generator = self.model.config.rating_levels, self.generator
        sizes = np.asarray(lengths, dtype=np.int64) + 1  # each with a candidate
        ends = np.cumsum(sizes)
        items = generator.integers(len(self.table), size=int(ends[-1]))
        ratings = generator.choice(np.array([*levels, np.nan]), size=len(items))
        ratings[generator.random(len(items)) < MISSING_SHARE] = np.nan
        rated = rating_rows(ratings, levels)
        before = [slice(end - size, end - 1) for end, size in zip(ends, sizes, strict=True)]
        packed, order = pack_prompts(
            [items[part] for part in before],
            [rated[part] for part in before],
            self.tokens,
            self.longest,
        )
        served = split_rows(
            {"input_ids": packed.input_ids, "ratings": packed.ratings}, packed.documents
        )
        by_history = dict(zip(order.tolist(), served, strict=True))
        plain = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        texts = [self._write(items[part]) for part in before]
        return Paths(
            [by_history[number] for number in range(len(sizes))],
            self._pack_for_training(items, rated, ends, sizes),
            [np.array(words, dtype=np.int64) for words in plain(texts)["input_ids"]],
        )

    def _pack_for_training(
        self, items: np.ndarray, rated: np.ndarray, ends: np.ndarray, sizes: np.ndarray
    ) -> dict[int, History]:
        """Return the last window of every history as the batches of training hold it."""
        windows = training_windows(ends - sizes, ends + 1, self.longest, "last")
        row_length = int(windows.lengths.max())
        rows = pack_rows(windows.lengths, row_length)
        packed = pack_rated(items, rated, windows, rows, self.tokens, row_length)
        found = split_rows(
            {"input_ids": packed.input_ids, "ratings": packed.ratings}, packed.documents
        )
        return dict(zip([window for row in rows for window in row], found, strict=True))

    def _write(self, items: np.ndarray) -> str:
        """Return the text of a history after its start, which is a position of padding."""
        read = items[max(len(items) - self.longest + 1, 0) :]
        words = history_text(self.table.item_ids[item] for item in read.tolist())
        return f"{self.tokenizer.pad_token} {words}"

    def load(self, folder: Path) -> dict[str, PreTrainedModel]:
        plain = AutoModel.from_pretrained(folder, trust_remote_code=False)
        return {"seqrec": load_reward_model(folder), "AutoModel": plain.eval()}

    def states(self, model: Any, rows: Rows) -> Float[Tensor, "B T D"]:
        return model.hidden_states(documents=rows.documents, **rows.inputs)

    def end_states(self, rows: Rows) -> Float[Tensor, "H D"]:
        return self.model.states(documents=rows.documents, **rows.inputs)

    def scores(self, histories: Sequence[History]) -> Float[np.ndarray, "B I"]:
        width = max(len(history["input_ids"]) for history in histories)
        rows = lay_out(histories, [[n] for n in range(len(histories))], self.fills, width=width)
        number = min(len(self.table), NUM_CANDIDATES)
        candidates = torch.arange(number).expand(len(histories), -1)
        states = self.end_states(rows)[:, None].expand(-1, number, -1)
        return self.model.mean_logits(states, candidates).numpy()

    def full_states(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        raise DoesNotApply(SCORES_WHOLE)

    def decode(self, tokens: Int[Tensor, "B T"], num_steps: int) -> Float[Tensor, "B S D"]:
        raise DoesNotApply(SCORES_WHOLE)

    def decoders(self) -> list[PreTrainedModel]:
        return [member.backbone for member in self.model.members()]

    def padding_rows(self) -> list[Tensor]:
        tables: list[Any] = [one.get_input_embeddings() for one in self.decoders()]
        heads = [member.items for member in self.model.members()]
        own = [head.table for head in heads if isinstance(head, UntiedCatalogHead)]
        return [
            *(table.weight.data[len(self.tokenizer) :] for table in tables),
            *(table.weight.data[len(self.table) :] for table in own),
        ]

    def count_outside(self) -> int:
        """Return 0: a reward model lists nothing."""
        return 0
