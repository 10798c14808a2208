"""The files of a language model, wherever it is: a folder, a GGUF file, a package, a hub."""

import logging
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import snapshot_download

from seqrec.errors import SeqRecError, first_line
from seqrec.files import read_json_object
from seqrec.models.packages import find_package_folders
from seqrec.models.weights import count_weights
from seqrec.models.weights_check import check_sizes
from seqrec.tokens.tokenizer import refuse_own_code

GGUF = ".gguf"
HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
"""Files of a hub's repository that are fetched: no code and nothing pickled."""
OWN_TYPES = ("seqrec", "seqrec_reward")
"""Types of the models that seqrec trains, which are no language models."""
COPY = "copy the folder again"

logger = logging.getLogger(__name__)


class LanguageSource(NamedTuple):
    """The files of a language model and its tokenizer."""

    folder: Path
    gguf_file: str | None
    """Name of the GGUF file in the folder that holds both; None: the Hugging Face format."""


def find_language_source(source: str | Path) -> LanguageSource:
    """Return the files of a language model; nothing is loaded yet.

    Args:
        source: a folder in Hugging Face format, a GGUF file or a folder with one, an installed
            package that carries either, or a name on the hub, which is fetched once.

    Raises:
        SeqRecError: no such model, a folder without weights, pickled weights, code in the folder.
    """
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() != GGUF:
            raise SeqRecError(f"{source}: no language model; name its folder, or a GGUF file")
        return LanguageSource(path.parent.resolve(), path.name)
    if path.is_dir():
        return _read_folder(path.resolve(), str(source))
    if path.is_absolute() or len(path.parts) > 2 or str(source).startswith("."):
        raise SeqRecError(f"{source}: no such language model; name its folder or GGUF file")
    for folder in find_package_folders(str(source)):
        if (folder / "config.json").is_file() or _gguf_files(folder):
            return _read_folder(folder, str(source))
    return _read_folder(_fetch(str(source)), str(source))


def _read_folder(folder: Path, named: str) -> LanguageSource:
    """Return the files of a folder: safetensors if there are any, else its only GGUF file."""
    config, gguf_files = folder / "config.json", _gguf_files(folder)
    if gguf_files and not any(folder.glob("*.safetensors")):
        if len(gguf_files) > 1:
            raise SeqRecError(f"{named}: holds {len(gguf_files)} GGUF files; name one of them")
        return LanguageSource(folder, gguf_files[0].name)
    if not config.is_file():
        raise SeqRecError(f"{named}: no language model: holds neither config.json nor a GGUF file")
    for file in (config, folder / "tokenizer_config.json"):
        if file.is_file():
            refuse_own_code(read_json_object(file, COPY), file)
    fields = read_json_object(config, COPY)
    if fields.get("model_type") in OWN_TYPES:
        raise SeqRecError(
            f"{named}: a model that seqrec trained, no language model; continue with it by "
            "model.from_pretrained"
        )
    check_sizes(fields, count_weights(folder), config)
    return LanguageSource(folder, None)


def _gguf_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() == GGUF)


def _fetch(name: str) -> Path:
    """Return the folder of a hub's model, fetched unless the cache has it.

    Raises:
        SeqRecError: no network, or no such model.
    """
    try:
        folder = snapshot_download(name, allow_patterns=HUB_FILES, ignore_patterns=["*/*"])
    except Exception as error:  # the hub's client and its transport raise classes of their own
        raise SeqRecError(
            f"{name}: neither a folder nor an installed package, and the hub does not give it "
            f"({type(error).__name__}: {first_line(error)}); name a folder with config.json, "
            "*.safetensors and tokenizer.json, or a GGUF file"
        ) from error
    return Path(folder)
