"""Language models' tokenizers that read histories of items, and texts with items."""

import copy

from tokenizers import Regex, normalizers
from transformers import PreTrainedTokenizerFast

from seqrec.tokens.tokenizer import PAD_TOKEN, UNKNOWN_TOKEN

LONE_SPACE = r"\A \z"
"""A stretch of text between two added tokens that is one space and nothing else."""


def missing_special_tokens(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the words that a tokenizer needs for padding and unknown items, and lacks."""
    has = (tokenizer.pad_token_id is not None, tokenizer.unk_token_id is not None)
    both = zip((PAD_TOKEN, UNKNOWN_TOKEN), has, strict=True)
    return [word for word, is_there in both if not is_there]


def as_history_tokenizer(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return a copy of a grown tokenizer for which the space between two items is no token.

    Then ``tokenizer(history_text(item_ids), add_special_tokens=False)`` gives the tokens of the
    items alone, as training and serving read them, also for ``AutoTokenizer`` without seqrec. The
    start token that some families put before a text is no part of a history. Text around items
    keeps its tokens, spaces and line breaks before an item included, so that what stands before an
    item is encoded as if the text ended there. An id outside the catalog is text here, and the
    unknown token in training and serving.

    Args:
        tokenizer: has the items, and ``missing_special_tokens`` among its words.
    """
    changed = copy.deepcopy(tokenizer)
    backend = changed.backend_tokenizer
    own = [] if backend.normalizer is None else [backend.normalizer]
    if not any(LONE_SPACE in repr(one) for one in own):
        rule = normalizers.Replace(Regex(LONE_SPACE), "")
        backend.normalizer = normalizers.Sequence([rule, *own])
    if changed.pad_token_id is None:
        changed.pad_token = PAD_TOKEN
    if changed.unk_token_id is None:
        changed.unk_token = UNKNOWN_TOKEN
    changed.truncation_side = "left"
    return changed
