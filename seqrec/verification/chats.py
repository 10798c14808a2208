"""The property that chats with items have the same tokens in training, serving and elsewhere."""

from collections import Counter
from typing import Any

from transformers import AutoTokenizer

from seqrec.tokens.text.chat import ASSISTANT, USER
from seqrec.tokens.text.examples import ExampleEncoder
from seqrec.tokens.text.items import ITEM
from seqrec.tokens.tokenizer import item_token
from seqrec.verification.findings import Measured
from seqrec.verification.subject import Subject
from seqrec.verification.texts import draw_texts

SHOWN_LETTERS = 60
LINE = "a chat"
OTHER = "answers follow other tokens in training than in requests"
BLANKS = ("", " ", "\n", "\n\n", " \n ")


def check_chats(subject: Subject, num_chats: int) -> Measured:
    """Count random chats whose tokens differ between training, requests and ``AutoTokenizer``.

    Chats name items between words of all scripts and blanks of all kinds. Half of the chats also
    spell special tokens: these have no special token but those of the template, and all items that
    they name. Without a chat template, chats are prompts.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(subject.folder, trust_remote_code=False)
    recommender = subject.recommender
    assert recommender is not None
    trained = ExampleEncoder(subject.tokenizer, LINE, 1 << 30, "drop")
    served = recommender.texts.encoder
    num_wrong, example = 0, ""
    for number in range(num_chats):
        spells = bool(tokenizer.chat_template) and number % 2 == 1
        asked, answer = (_draw_text(subject, spells) for _ in range(2))
        item = ITEM.findall(answer)[-1]
        ways = _compare(tokenizer, trained, served, asked, answer, item, spells)
        num_wrong += bool(ways)
        if ways and not example:
            example = f"; {asked[:SHOWN_LETTERS]!r}: {ways[0]}"
    return Measured(num_wrong, 0, f"{num_chats:,} chats by 3 ways{example}")


def _draw_text(subject: Subject, spells: bool) -> str:
    """Return random words with items between them, and special tokens by option."""
    assert subject.recommender is not None
    generator, item_ids = subject.generator, subject.recommender.item_ids
    special = list(subject.tokenizer.all_special_tokens) if spells else []
    parts = []
    for text in draw_texts(3, special, generator):
        item_id = item_ids[int(generator.integers(len(item_ids)))]
        blank = BLANKS[int(generator.integers(len(BLANKS)))]
        parts.append(text + blank + item_token(item_id))
    return "".join(parts).strip()


def _compare(
    tokenizer: Any,
    trained: ExampleEncoder,
    served: ExampleEncoder,
    asked: str,
    answer: str,
    item: str,
    spells: bool,
) -> list[str]:
    """Return what is wrong with the tokens of a chat.

    Args:
        tokenizer: plain ``AutoTokenizer``.
        trained: reads as training does.
        served: reads requests.
        asked: words of the user.
        answer: words of the assistant.
        item: the token of an item.
        spells: the words spell special tokens.
    """
    request = served.request_tokens(asked, LINE)
    if not tokenizer.chat_template:
        example = trained.encode({"prompt": asked, "completion": answer}, LINE)
        plain = tokenizer(asked)["input_ids"]
        return [] if request == plain and example is not None else ["requests and AutoTokenizer"]
    question = {"role": USER, "content": asked}
    chat = [question, {"role": ASSISTANT, "content": answer}]
    example = trained.encode({"messages": chat}, LINE)
    tokens = [] if example is None else example.tokens.tolist()
    begun = trained.request_tokens([question], LINE)
    ways = [] if begun == request else ["training and requests differ"]
    ways += [] if _answers_follow(tokenizer, trained, question, begun, item) else [OTHER]
    options: dict[str, Any] = {"tokenize": True, "return_dict": True}
    if not spells:
        plain = tokenizer.apply_chat_template(chat, **options)["input_ids"]
        started = tokenizer.apply_chat_template([question], add_generation_prompt=True, **options)
        ways += [] if tokens == plain else ["training and AutoTokenizer differ"]
        ways += [] if request == started["input_ids"] else ["requests and AutoTokenizer differ"]
        return ways
    special = set(tokenizer.all_special_ids)
    harmless = [{**message, "content": "x"} for message in chat]
    frame = tokenizer.apply_chat_template(harmless, **options)["input_ids"]
    counts = [Counter(one for one in row if one in special) for row in (tokens, frame)]
    return ways if counts[0] == counts[1] else [*ways, "a message wrote a special token"]


def _answers_follow(
    tokenizer: Any, trained: ExampleEncoder, question: dict[str, str], begun: list[int], item: str
) -> bool:
    """Return whether an answer that is an item follows the tokens of its request in training.

    True also for templates that write something else between them than before an answer that is to
    be made.
    """
    chat = [question, {"role": ASSISTANT, "content": item}]
    whole = tokenizer.apply_chat_template(chat, tokenize=False)
    prompt = tokenizer.apply_chat_template([question], tokenize=False, add_generation_prompt=True)
    if not whole.startswith(prompt + item):
        return True
    example = trained.encode({"messages": chat}, LINE)
    return example is not None and example.tokens[: len(begun)].tolist() == begun
