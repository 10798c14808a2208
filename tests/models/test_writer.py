"""Answers in a batch are those of single requests, whatever their lengths."""

import pytest
import torch

from seqrec.models.language_model import LanguageModel
from seqrec.models.writer import Writer
from tests.language import build_byte_tokenizer, tiny_llama

REQUESTS = [
    [{"role": "user", "content": "Why?"}],
    [{"role": "user", "content": "Summarise a long story about a boat and its crew."}],
    [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Yes or no?"}],
]


@pytest.fixture
def writer():
    torch.manual_seed(0)
    return Writer(LanguageModel(tiny_llama(3), build_byte_tokenizer()), "tiny", 12)


def test_a_batch_is_answered_as_its_requests_alone(writer):
    alone = [writer(one) for one in REQUESTS]
    assert writer.write_all(REQUESTS) == alone
    assert len(set(alone)) > 1


def test_draws_differ_by_attempt_and_are_repeated(writer):
    first, second = (writer.write_all(REQUESTS, attempt) for attempt in (1, 2))
    assert first == writer.write_all(REQUESTS, 1) and first != second


def test_a_model_without_a_chat_template_reads_the_messages_as_paragraphs():
    tokenizer = build_byte_tokenizer()
    tokenizer.chat_template = None
    writer = Writer(LanguageModel(tiny_llama(3), tokenizer), "tiny", 12)
    asked = REQUESTS[2]
    whole = tokenizer("Be short.\n\nYes or no?\nAnswer: ")["input_ids"]
    found = writer.model.generate(
        input_ids=torch.tensor([whole]), max_new_tokens=12, do_sample=False, pad_token_id=0
    )
    assert (
        writer(asked) == tokenizer.decode(found[0, len(whole) :], skip_special_tokens=True).strip()
    )
