"""Chats as tokens: the assistant's words are found in every template."""

import pytest

from seqrec.errors import SeqRecError
from seqrec.tokens.text.chat import ChatFormat
from seqrec.tokens.text.examples import ExampleEncoder
from tests.language import CHATML, build_byte_tokenizer

LLAMA3 = (
    "{{ '<s>' }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '<s>[INST] ' + (system + '\n' if loop.first and system else '') + message['content'] "
    "+ ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] | trim + ' </s>' }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% endfor %}"
)
GEMMA = (
    "{{ '<s>' }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{% if role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}"
)
QWEN3 = CHATML.replace(
    "'\n' + message['content']",
    "'\n' + ('<think>\n\n</think>\n\n' if loop.last and message['role'] == 'assistant' else '')"
    " + message['content']",
)
DROPS_TOOLS = CHATML.replace(
    "{{'<|im_start|>'", "{% if message['role'] != 'tool' %}{{'<|im_start|>'"
)
DROPS_TOOLS = DROPS_TOOLS.replace("'\n'}}{% endfor %}", "'\n'}}{% endif %}{% endfor %}")
TEMPLATES = {
    "smollm and chatml": CHATML,
    "llama 3": LLAMA3,
    "llama 2 and mistral": LLAMA2,
    "gemma": GEMMA,
    "qwen 3": QWEN3,
}
ENDS = ("<|im_end|>", "<|eot_id|>", " </s>", "<end_of_turn>")


def learned_text(tokenizer, example):
    return tokenizer.decode(example.tokens[example.weight > 0])


CHAT = [
    {"role": "user", "content": "Tea or coffee?"},
    {"role": "assistant", "content": "Tea."},
    {"role": "user", "content": "Tea."},
    {"role": "assistant", "content": "As you said: Tea. ☕"},
]


@pytest.mark.parametrize("name", TEMPLATES)
def test_only_the_assistants_words_and_its_end_tokens_are_learned(name):
    tokenizer = build_byte_tokenizer(TEMPLATES[name])
    example = ExampleEncoder(tokenizer, "tiny", 1000, "drop").encode({"messages": CHAT}, "line 1")
    end = next(end for end in ENDS if end.strip() in TEMPLATES[name])
    assert learned_text(tokenizer, example) == f"Tea.{end}As you said: Tea. ☕{end}"
    whole = tokenizer.apply_chat_template(CHAT, tokenize=True, return_dict=True)["input_ids"]
    assert example.tokens.tolist() == whole


@pytest.mark.parametrize("name", ["smollm and chatml", "llama 2 and mistral", "qwen 3"])
def test_system_messages_are_read_and_weights_of_turns_apply(name):
    tokenizer = build_byte_tokenizer(TEMPLATES[name])
    chat = [{"role": "system", "content": "Be brief."}, *CHAT]
    chat[2] = {**chat[2], "weight": 0}
    chat[4] = {**chat[4], "weight": 0.5}
    example = ExampleEncoder(tokenizer, "tiny", 1000, "drop").encode({"messages": chat}, "line 1")
    end = next(end for end in ENDS if end.strip() in TEMPLATES[name])
    assert learned_text(tokenizer, example) == f"As you said: Tea. ☕{end}"
    assert set(example.weight.tolist()) == {0.0, 0.5}


@pytest.mark.parametrize("name", TEMPLATES)
def test_spans_agree_with_a_generation_block_of_transformers(name):
    """The same template with the block that transformers reads has the same mask."""
    tokenizer = build_byte_tokenizer(TEMPLATES[name])
    rendered = ChatFormat(tokenizer, "tiny").render(CHAT, "line 1")
    frames, place = [], 0
    for start, end, _ in rendered.spans:
        frames += [rendered.text[place:start], rendered.text[start:end]]
        place = end
    blocks = "".join(
        f"{{{{ {part!r} }}}}"
        if number % 2 == 0
        else f"{{% generation %}}{{{{ {part!r} }}}}{{% endgeneration %}}"
        for number, part in enumerate([*frames, rendered.text[place:]])
    )
    marked = tokenizer.apply_chat_template(
        CHAT,
        chat_template=blocks,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    example = ExampleEncoder(tokenizer, "tiny", 1000, "drop").encode({"messages": CHAT}, "line 1")
    assert (example.weight > 0).astype(int).tolist() == marked["assistant_masks"]


@pytest.mark.parametrize(
    ("template", "messages", "cause"),
    [
        (GEMMA, [{"role": "system", "content": "Hm"}, *CHAT], "System role not supported"),
        (DROPS_TOOLS, [{"role": "tool", "content": "42"}, *CHAT], "no place for the role tool"),
        (CHATML, [{"role": "critic", "content": "Hm"}], "choose from system, developer"),
        (CHATML, [{"role": "user"}], "is no text"),
        (CHATML, ["Hello"], "is no message"),
        (CHATML, [{**CHAT[1], "weight": "much"}], "weight 'much'"),
        (CHATML.replace("message['content']", "message['content'] | upper"), CHAT, "changes the"),
        (None, CHAT, "has no chat template"),
    ],
)
def test_messages_that_a_template_does_not_hold_are_refused(template, messages, cause):
    encoder = ExampleEncoder(build_byte_tokenizer(template), "tiny", 1000, "drop")
    with pytest.raises(SeqRecError, match=cause):
        encoder.encode({"messages": messages}, "chats.jsonl: line 7")


def test_plain_texts_and_completions_learn_what_follows_the_prompt():
    tokenizer = build_byte_tokenizer()
    encoder = ExampleEncoder(tokenizer, "tiny", 1000, "drop")
    pair = encoder.encode({"prompt": "2 + 2 =", "completion": " 4"}, "line 1")
    assert learned_text(tokenizer, pair) == " 4<|im_end|>"
    assert tokenizer.decode(pair.tokens) == "2 + 2 = 4<|im_end|>"
    text = encoder.encode({"text": "Once upon"}, "line 2")
    assert learned_text(tokenizer, text) == "Once upon<|im_end|>"
    asked = {"prompt": CHAT[:3], "completion": CHAT[3:]}
    assert (
        learned_text(tokenizer, encoder.encode(asked, "line 3"))
        == f"{CHAT[3]['content']}<|im_end|>"
    )
    with pytest.raises(SeqRecError, match="line 4: has the keys title; needs messages"):
        encoder.encode({"title": "Heat"}, "line 4")


def test_long_and_empty_examples_are_counted_and_the_limit_is_named():
    tokenizer = build_byte_tokenizer()
    record = {"prompt": "abc", "completion": "defgh"}
    cut = ExampleEncoder(tokenizer, "tiny", 5, "truncate")
    assert tokenizer.decode(cut.encode(record, "line 1").tokens) == "abcde"
    assert cut.encode({"prompt": "abcdef", "completion": "g"}, "line 2") is None
    assert cut.encode({"text": ""}, "line 3") is None
    assert cut.counts == {"truncated": 2, "nothing_learned": 1, "empty": 1}
    assert "2 examples truncated (data.max_length 5)" in cut.describe_counts()
    drop = ExampleEncoder(tokenizer, "tiny", 5, "drop")
    assert drop.encode(record, "line 1") is None and drop.counts == {"too_long": 1}


def test_pairs_share_their_prompt_and_learn_both_answers():
    tokenizer = build_byte_tokenizer()
    encoder = ExampleEncoder(tokenizer, "tiny", 1000, "drop")
    pair = encoder.encode_pair({"prompt": "1 + 1 =", "chosen": " 2", "rejected": " 3"}, "line 1")
    parts = [tokenizer.decode(part) for part in (pair.prompt, pair.chosen, pair.rejected)]
    assert parts == ["1 + 1 =", " 2<|im_end|>", " 3<|im_end|>"]
    assert pair.weight == 1
    chats = {key: [*CHAT[:3], {**CHAT[3], "content": key}] for key in ("chosen", "rejected")}
    pair = encoder.encode_pair(chats, "line 2")
    assert [tokenizer.decode(part) for part in (pair.chosen, pair.rejected)] == [
        "chosen<|im_end|>\n",
        "rejected<|im_end|>\n",
    ]
    single = {"prompt": "1 + 1 =", "completion": " 3", "label": False}
    pair = encoder.encode_pair(single, "line 3", is_labelled=True)
    assert not len(pair.chosen) and tokenizer.decode(pair.rejected) == " 3<|im_end|>"
    assert encoder.encode_pair({"prompt": "a", "chosen": "b", "rejected": "b"}, "line 4") is None
    with pytest.raises(SeqRecError, match="line 5: has no rejected"):
        encoder.encode_pair({"prompt": "a", "chosen": "b"}, "line 5")
