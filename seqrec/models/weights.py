"""The weights of a model folder, from safetensors files alone, whole or sharded."""

import hashlib
import logging
import struct
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from seqrec.errors import SeqRecError, refuse_unreadable
from seqrec.files import read_json_object

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
COPY = "copy the model folder again"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

logger = logging.getLogger(__name__)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder: one, or the shards that its index names.

    Raises:
        SeqRecError: no such files, an index that is broken, or pickled weights alone.
    """
    index = folder / INDEX_FILE
    if not index.is_file():
        files = [folder / WEIGHTS_FILE]
    else:
        try:
            names = sorted(set(read_json_object(index, COPY)["weight_map"].values()))
            files = [folder / Path(name).name for name in names]
        except (SeqRecError, KeyError, TypeError, AttributeError) as error:
            raise SeqRecError(f"{index}: broken or cut short; copy it again") from error
    for file in files:
        if file.is_file():
            continue
        if any(path for pattern in PICKLED for path in folder.glob(pattern)):
            raise SeqRecError(
                f"{folder}: holds pickled weights, which can run code when they are read; save "
                "the model as safetensors"
            )
        raise SeqRecError(f"{folder}: not a model folder, {file.name} is missing")
    return files


def count_weights(folder: Path) -> int:
    """Return the number of tensors in the safetensors files of a folder; none is read.

    Raises:
        SeqRecError: as ``weight_files``, or a damaged file.
    """
    num_weights = 0
    for file in weight_files(folder):
        with refuse_unreadable(str(file), COPY), safe_open(file, "pt") as weights:
            num_weights += len(list(weights.keys()))
    return num_weights


def count_gguf_weights(file: Path) -> int:
    """Return the number of tensors that the header of a GGUF file names; nothing else is read.

    Raises:
        SeqRecError: a damaged file.

    Source: the specification of GGUF, whose header is magic, version and this number.
    """
    with refuse_unreadable(str(file), COPY), file.open("rb") as opened:
        return int(struct.unpack("<8xQ", opened.read(16))[0])


def read_weights(
    folder: Path, has_name: Callable[[str], bool] = lambda name: True
) -> dict[str, Tensor]:
    """Return the weights of a folder by name, those with a decimal point as float32.

    Args:
        folder: the model folder.
        has_name: which weights to read, by name.

    Raises:
        SeqRecError: weights that are missing, broken or pickled.
    """
    weights: dict[str, Tensor] = {}
    other_dtypes = set()
    for file in weight_files(folder):
        try:
            with safe_open(file, framework="pt") as opened:
                for name in filter(has_name, opened.keys()):
                    weight = opened.get_tensor(name)
                    if weight.is_floating_point() and weight.dtype != torch.float32:
                        other_dtypes.add(str(weight.dtype).removeprefix("torch."))
                        weight = weight.float()
                    weights[name] = weight
            if not all(one.isfinite().all() for one in weights.values()):
                raise SeqRecError(f"{file}: holds weights that are NaN or infinite; train again")
        except (SafetensorError, OSError, RuntimeError, ValueError, MemoryError) as error:
            raise SeqRecError(f"{file}: broken or cut short; copy it again") from error
    if other_dtypes:
        dtypes = ", ".join(sorted(other_dtypes))
        logger.warning("%s: weights in %s are read as float32", folder, dtypes)
    return weights


def folder_fingerprint(folder: Path) -> str:
    """Return the sha256 of what a model folder computes: its configuration and weights.

    Raises:
        SeqRecError: a file is missing.
    """
    whole = hashlib.sha256()
    beside = sorted(folder.glob("catalog_head.*"))
    for file in (folder / "config.json", *weight_files(folder), *beside):
        try:
            with file.open("rb") as opened:
                whole.update(hashlib.file_digest(opened, "sha256").digest())
        except FileNotFoundError as error:
            raise SeqRecError(f"{folder}: not a model folder, {file.name} is missing") from error
    return whole.hexdigest()
