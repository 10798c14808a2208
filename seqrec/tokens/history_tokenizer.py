"""Language models' tokenizers that read histories of items."""

import copy
import json

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from seqrec.tokens.tokenizer import PAD_TOKEN, UNKNOWN_TOKEN


def missing_special_tokens(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the words that a tokenizer needs for padding and unknown items, and lacks."""
    has = (tokenizer.pad_token_id is not None, tokenizer.unk_token_id is not None)
    both = zip((PAD_TOKEN, UNKNOWN_TOKEN), has, strict=True)
    return [word for word, is_there in both if not is_there]


def as_history_tokenizer(
    tokenizer: PreTrainedTokenizerFast, words: set[str]
) -> PreTrainedTokenizerFast:
    """Return a copy of a grown tokenizer for which spaces before the new words are no tokens.

    Then ``tokenizer(history_text(item_ids), add_special_tokens=False)`` gives the tokens of the
    items alone, as training and serving read them, also for ``AutoTokenizer`` without seqrec. The
    start token that some families put before a text is no part of a history. Text around items
    keeps its tokens, except for a space before an item. An id outside the catalog is text here,
    and the unknown token in training and serving.

    Args:
        tokenizer: has the words, and ``missing_special_tokens`` among them.
        words: the new ones.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in state["added_tokens"]:
        if token["content"] in words:
            token["lstrip"] = True
    changed = copy.deepcopy(tokenizer)
    changed._tokenizer = Tokenizer.from_str(json.dumps(state))  # type: ignore[assignment]
    if changed.pad_token_id is None:
        changed.pad_token = PAD_TOKEN
    if changed.unk_token_id is None:
        changed.unk_token = UNKNOWN_TOKEN
    changed.truncation_side = "left"
    return changed
