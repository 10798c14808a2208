"""Properties of tokens: every way from ids and texts to a model's input gives the same."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from seqrec.tokens.tokenizer import decode_item_token, item_token
from seqrec.verification.findings import DoesNotApply, Measured
from seqrec.verification.subject import Subject
from seqrec.verification.texts import draw_texts

SHOWN_LETTERS = 40
BATCH = 64


def check_histories(subject: Subject, num_histories: int) -> Measured:
    """Count histories whose tokens differ between training, serving and plain ``AutoTokenizer``."""
    table = subject.table
    if table is None:
        raise DoesNotApply("a language model reads texts alone")
    unknown = [text for text in _draw(subject, num_histories // 4) if text not in table]
    longest = subject.longest
    lengths = subject.generator.integers(1, longest + 3, num_histories).tolist()
    paths = subject.draw_paths(lengths, unknown)
    num_different, example = 0, ""
    for number, (served, text) in enumerate(zip(paths.serving, paths.text, strict=True)):
        trained = paths.training.get(number)
        if trained is None:
            continue
        ways = []
        if trained.keys() != served.keys() or any(
            not np.array_equal(trained[name], served[name]) for name in trained
        ):
            ways.append("training and serving differ")
        if not np.array_equal(trained["input_ids"], text):
            ways.append("training and AutoTokenizer differ")
        num_different += bool(ways)
        example = example or "".join(f"; history {number}: {way}" for way in ways)
    return Measured(num_different, 0, f"{len(paths.training):,} histories by 3 ways{example}")


def check_texts(subject: Subject, num_texts: int) -> Measured:
    """Count texts whose tokens are not what they should be.

    As an id, a text has the token of that item alone, or no item's and no special one: ids that
    look like special tokens or like item tokens are text. As text, it has the same tokens alone, in
    a batch, and by the tokenizer that seqrec opens.
    """
    texts = [*_draw(subject, num_texts), *_list_lookalikes(subject)]
    load: Any = partial(AutoTokenizer.from_pretrained, trust_remote_code=False)
    plain = load(subject.folder)
    encode = partial(plain, add_special_tokens=False, verbose=False)
    num_wrong, example = 0, ""
    words = encode([item_token(text) for text in texts])["input_ids"]
    batched: list[list[int]] = []
    for start in range(0, len(texts), BATCH):
        batched += encode(texts[start : start + BATCH])["input_ids"]
    opened = subject.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    for text, as_id, in_batch, by_seqrec in zip(texts, words, batched, opened, strict=True):
        if subject.table is not None and not _is_right(subject, plain, text, as_id):
            way = "as an id"
        elif not in_batch == by_seqrec == encode(text)["input_ids"]:
            way = "as text"
        else:
            continue
        num_wrong += 1
        example = example or f"; {text[:SHOWN_LETTERS]!r} {way}"
    return Measured(num_wrong, 0, f"{len(texts):,} texts in 20 scripts{example}")


def _is_right(
    subject: Subject, plain: PreTrainedTokenizerBase, text: str, tokens: Sequence[int]
) -> bool:
    """Return whether the token of a text as an id is its item's, or no item's and none special."""
    table, blocks = subject.table, subject.blocks
    assert table is not None and blocks is not None
    if decode_item_token(item_token(text)) != text:
        return False
    if text in table:
        item = np.array([table.get_row(text, "id")])
        return list(tokens) == blocks.encode(item).ravel().tolist()
    special = set(plain.all_special_ids) - {plain.unk_token_id}
    first = blocks.first_token
    is_item = [first <= token < first + len(table) for token in tokens]
    return not special & set(tokens) and not any(is_item)


def _draw(subject: Subject, number: int) -> list[str]:
    return draw_texts(number, _list_lookalikes(subject), subject.generator)


def _list_lookalikes(subject: Subject) -> list[str]:
    """Return spellings of special tokens and of item tokens, and parts of them."""
    item_id = "318" if subject.table is None else subject.table.item_ids[0]
    special = list(subject.tokenizer.all_special_tokens)
    items = [item_id, item_token(item_id), item_token(item_token(item_id)), "<item:", "<item:>"]
    return [*special, *items, *(text.strip("<>") for text in special)]
