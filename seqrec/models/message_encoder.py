"""Messages as the tokens that a language model reads before its answer."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerFast

from seqrec.tokens.text.chat import ChatFormat, Rendered
from seqrec.tokens.text.spelling import encode_rendered

PROMPT_END = "\nAnswer: "
"""Text that a model without a chat template reads before its answer."""


class MessageEncoder:
    """Encodes messages in a model's chat template.

    A model without a chat template reads them as paragraphs, and ``Answer:`` at the end.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
        """Set the tokenizer, and the model's name in errors."""
        self.tokenizer = tokenizer
        self.name = name
        self._chat = ChatFormat(tokenizer, name) if tokenizer.chat_template else None

    def encode(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Return messages as tokens; special tokens that a message spells are letters.

        Raises:
            SeqRecError: the chat template refuses the messages.
        """
        if self._chat is not None:
            rendered = self._chat.prompt(messages, self.name)
        else:
            whole = "\n\n".join(message["content"] for message in messages)
            rendered = Rendered(whole + PROMPT_END, [])
        return encode_rendered(self.tokenizer, rendered.text, rendered.spelled).tokens.tolist()
