"""Loading a model folder's weights with every mismatch told in one line."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig

from seqrec.errors import SeqRecError
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.next_item import SeqRecForNextItem

WEIGHTS_FILE = "model.safetensors"


def load_model(folder: Path) -> SeqRecForNextItem:
    """The model of a folder, in evaluation mode; nothing in the folder is executed.

    Raises:
        SeqRecError: no such folder, a file that is missing or broken, or weights whose names or
            shapes are not those of ``config.json``.
    """
    config_file, weights_file = folder / "config.json", folder / WEIGHTS_FILE
    for file in (config_file, weights_file):
        if not file.is_file():
            raise SeqRecError(f"{folder}: not a model folder, {file.name} is missing")
    try:
        fields = json.loads(config_file.read_text())
        if fields.get("model_type") != SeqRecConfig.model_type:
            raise SeqRecError(
                f"{config_file}: model_type is {fields.get('model_type')!r}, not 'seqrec'; "
                "name the model/ folder of a run"
            )
        config = AutoConfig.from_pretrained(folder)
        model = SeqRecForNextItem(config)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise SeqRecError(f"{config_file}: cannot be read as a model: {reason}") from error
    try:
        weights = load_file(weights_file)
    except SafetensorError as error:
        raise SeqRecError(f"{weights_file}: broken or cut short; copy it again") from error
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise SeqRecError(
                f"{weights_file}: {name} has shape {found.get(name, 'none')}, but config.json "
                f"asks for {expected.get(name, 'none')}; the two come from different models"
            )
    model.load_state_dict(weights)
    return model.eval()


def folder_fingerprint(folder: Path) -> str:
    """The sha256 of what a model folder computes: its configuration and weights."""
    found = hashlib.sha256()
    for name in ("config.json", WEIGHTS_FILE):
        try:
            with (folder / name).open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        except FileNotFoundError as error:
            raise SeqRecError(f"{folder}: not a model folder, {name} is missing") from error
    return found.hexdigest()
