"""Small folders of models with two heads, with random weights, for tests."""

from pathlib import Path

import numpy as np
import polars as pl
import torch

from seqrec.data.catalog import catalog_fingerprint
from seqrec.models import SeqRecConfig
from seqrec.models.growth import grow_vocabulary, pad_size
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.objectives.model_folder import write_model_folder
from seqrec.tokens.history_tokenizer import as_history_tokenizer, missing_special_tokens
from seqrec.tokens.tokenizer import item_token, tokenizer_fingerprint
from tests.families import tiny_model, tiny_tokenizer

IDS = [*(f"t{number}" for number in range(27)), "<|im_end|>", "two words", "日本 🎬"]
TEMPLATE = (
    "{{% for message in messages %}}{{{{ '{end}' + message['role'] + '\n' + message['content'] + "
    "'{end}\n' }}}}{{% endfor %}}{{% if add_generation_prompt %}}{{{{ '{end}assistant\n' }}}}"
    "{{% endif %}}"
)
"""A chat template for tokenizers with only an end token."""


def write_two_headed(folder: Path, family="smollm", head="tied", ids=IDS, **changes) -> Path:
    """Write a model with both heads; changes are settings of its configuration."""
    torch.manual_seed(0)
    plain = tiny_tokenizer(family)
    plain.chat_template = TEMPLATE.format(end=plain.eos_token)
    words = tiny_model(family, len(plain))
    new = [*missing_special_tokens(plain), *map(item_token, ids)]
    tokenizer = as_history_tokenizer(grow_vocabulary(words, plain, new).tokenizer)
    model = SeqRecForNextItem.over(
        SeqRecConfig(
            backbone_config=words.base_model.config,
            head=head,
            head_size=8 if head == "projected" else None,
            word_head=True,
            causal=True,
            cosine_scale=None,
            num_items=len(ids),
            padded_num_items=pad_size(len(ids)),
            first_item_token=tokenizer.get_vocab()[item_token(ids[0])],
            max_length=12,
            catalog_fingerprint=catalog_fingerprint(ids),
            tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
            content=None,
            transition_prior=None,
            **changes,
        ),
        words,
    ).eval()
    items = pl.DataFrame(
        {"item": range(len(ids)), "item_id": ids, "title": [f"Film {one}" for one in ids]},
        schema_overrides={"item": pl.UInt32},
    )
    write_model_folder(folder, model, tokenizer, items, np.arange(len(ids)))
    return folder
