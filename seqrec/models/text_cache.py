"""Vectors of texts that stay on disk between processes, by encoder and texts."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from seqrec.models.text_encoder import TextEncoder

BLOCK = 512
"""Texts whose vectors share a file: what was encoded before an interruption stays."""


def encode_cached(encoder: TextEncoder, texts: Sequence[str]) -> Float[np.ndarray, "N F"]:
    """Return ``encoder.encode(texts)``, from the user's cache folder as far as it is there.

    The folder is ``seqrec`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``; where it cannot be written,
    nothing is kept.
    """
    starts = range(0, len(texts), BLOCK)
    blocks = [_encode_block(encoder, texts[start : start + BLOCK]) for start in starts]
    return np.concatenate([np.empty((0, encoder.width), dtype=np.float32), *blocks])


def _encode_block(encoder: TextEncoder, texts: Sequence[str]) -> Float[np.ndarray, "N F"]:
    key = hashlib.sha256(encoder.fingerprint.encode())
    for text in texts:
        key.update(hashlib.sha256(text.encode()).digest())
    try:
        file = _get_folder() / f"texts-{key.hexdigest()[:32]}.npy"
        vectors = np.load(file, allow_pickle=False)
        if vectors.shape == (len(texts), encoder.width) and vectors.dtype == np.float32:
            return vectors
    except (OSError, ValueError, EOFError, RuntimeError):
        pass
    vectors = encoder.encode(texts)
    _keep(vectors, key.hexdigest()[:32])
    return vectors


def _get_folder() -> Path:
    """Return the cache folder.

    Raises:
        RuntimeError: the user has no home.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "seqrec"


def _keep(vectors: Float[np.ndarray, "N F"], key: str) -> None:
    """Write vectors to the cache, whole or not at all."""
    try:
        folder = _get_folder()
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{key}.{os.getpid()}.npy"
        np.save(beside, vectors, allow_pickle=False)
        beside.replace(folder / f"texts-{key}.npy")
    except (OSError, RuntimeError):
        return
