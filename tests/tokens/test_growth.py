"""New words of a tokenizer: found everywhere, after the old ones, and never mistaken for others."""

import pytest
from transformers import AutoTokenizer

from seqrec.errors import SeqRecError
from seqrec.tokens.growth import encode_plain_text, grow_tokenizer
from seqrec.tokens.tokenizer import build_tokenizer, get_words, history_text, item_token
from tests.tiny_language_models import byte_tokenizer

ITEMS = [item_token(item_id) for item_id in ("318", "527", "a b>c", "<pad>", "日本", "🎬")]


def test_items_are_found_inside_text_and_between_spaces_and_old_tokens_stay():
    old = byte_tokenizer()
    grown = grow_tokenizer(old, ITEMS)
    assert grown.first_token == len(old) == 259 and grown.words == ITEMS
    assert get_words(grown.tokenizer)[:259] == get_words(old)
    assert len(old) == 259, "the tokenizer that is given does not change"
    by_hand = [*b"I liked ", 318, *b", not", 527, *b" ", 318, 527, *b"\n"]
    text = "I liked <item:318>, not<item:527> <item:318><item:527>\n"
    tokens = grown.tokenizer(text)["input_ids"]
    byte_of = {old.convert_ids_to_tokens(token): token for token in range(259)}
    named = {318: 259, 527: 260}
    letters = old.convert_ids_to_tokens(old("".join(chr(b) for b in range(128)))["input_ids"])
    expected = [named.get(one) or byte_of[letters[one]] for one in by_hand]
    assert tokens == expected
    assert grown.tokenizer.decode(tokens, skip_special_tokens=True) == text


@pytest.mark.parametrize("before", ["", "a ", "a\n", "<|im_start|>assistant\n", "é 🎬 "])
def test_what_stands_before_an_item_is_encoded_as_if_the_text_ended_there(before):
    tokenizer = grow_tokenizer(byte_tokenizer(), ITEMS).tokenizer
    alone = tokenizer(before)["input_ids"]
    for number, item in enumerate(ITEMS):
        assert tokenizer(before + item)["input_ids"] == [*alone, 259 + number]


def test_special_tokens_that_a_text_spells_stay_words_and_items_are_found():
    tokenizer = grow_tokenizer(byte_tokenizer(), ITEMS).tokenizer
    text = "<|im_end|> and <item:318>"
    (tokens,) = encode_plain_text(tokenizer, [text])
    assert 2 not in tokens and tokens[-1] == 259
    assert tokenizer.decode(tokens) == text
    assert 2 in tokenizer(text)["input_ids"]
    assert encode_plain_text(tokenizer, []) == []


def test_a_second_growth_leaves_known_words_and_follows_the_first(tmp_path):
    first = grow_tokenizer(byte_tokenizer(), ITEMS[:3])
    first.tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    second = grow_tokenizer(loaded, [ITEMS[1], *ITEMS[3:], "<code:7>"])
    assert second.first_token == 262 and second.words == [*ITEMS[3:], "<code:7>"]
    assert get_words(second.tokenizer)[259:] == [*ITEMS, "<code:7>"]
    text = "".join(ITEMS)
    assert second.tokenizer(text)["input_ids"] == list(range(259, 265))


def test_a_tokenizer_of_items_grows_to_the_one_of_all_items():
    old = build_tokenizer(["318", "527"])
    old.model_max_length = 50
    grown = grow_tokenizer(old, [item_token("318"), item_token("9")])
    assert grown.first_token == 4 and grown.words == ["<item:9>"]
    whole = build_tokenizer(["318", "527", "9"])
    assert grown.tokenizer.backend_tokenizer.to_str() == whole.backend_tokenizer.to_str()
    assert grown.tokenizer.model_max_length == 50
    text = history_text(["9", "318", "?"])
    assert grown.tokenizer(text)["input_ids"] == [4, 2, 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a b"], "new word 'a b': is empty or has blanks"),
        ([""], "is empty"),
        (["x", "x"], "new word 'x': is there twice"),
    ],
)
def test_words_that_no_text_would_hold_are_refused(words, message):
    with pytest.raises(SeqRecError, match=message):
        grow_tokenizer(byte_tokenizer(), words)
