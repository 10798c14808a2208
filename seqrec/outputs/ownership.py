"""Folders that seqrec wrote, told from others by the names and headers of their files."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

METRICS_FILE = "metrics.json"
"""The file with the results of a run, a search or an evaluation, in its folder."""

_HEADERS = {
    "manifest.json": ("catalog_fingerprint",),
    METRICS_FILE: ("protocol",),
    "trials.json": ("selection_metric",),
    "cache.json": ("catalog_fingerprint",),
    "made_of.json": ("catalog_fingerprint",),
    "index.json": ("catalog_fingerprint",),
    "config.json": ("catalog_fingerprint",),
    "catalog_head.json": ("catalog_fingerprint",),
    "drafts.json": ("catalog_fingerprint",),
}
"""Files that only one program writes under these names with these keys."""

_CONFIG_FILE = "config.yaml"
_PROVENANCE = re.compile(r"^provenance:", re.MULTILINE)

_PREPARED = ("interactions.parquet", "items.parquet", "users.parquet")
_RUN = (
    *(_CONFIG_FILE, "log.jsonl", "events.jsonl", "timeline.png", "frontier.png"),
    *("controller*.pt*", "*.ckpt*"),
)
_MODEL = (
    "generation_config.json",
    "model*.safetensors",
    "catalog_head.safetensors",
    "model.safetensors.index.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "chat_template.jinja",
    "adapter_config.json",
    "adapter_model.safetensors",
)
_SEARCH = ("best.yaml", "study.db*", "trials.txt", "trials.png")
_TRACKERS = ("trackers.json", "events.out.tfevents.*", "hparams.yaml")
_EVALUATION = ("per_user.parquet", "report.html")
_EXPORT = ("ids.json", "vectors.npy", "index.faiss", "items.ndjson", "users.ndjson")
_ONNX = (
    "decoder.onnx*",
    "item_vectors.npy",
    "num_interactions.npy",
    "titles.json",
    "tokens.npy",
    "transitions.npz",
)
_DRAFTS = ("drafts.parquet",)
_CACHE = ("part-[0-9]*.parquet", "[0-9]*.parquet")
_UNFINISHED = ("*.partial", "*.new", ".*.lock", ".*.partial-*", ".*.replacing-*")
_CARD = "README.md"
_CARD_FOLDER = "model"
_CARD_MARK = re.compile(r"\A---\n(.*\n)*?library_name: seqrec\n")
"""The model card, in a run or with this mark; another README is the user's."""
_CARD_LETTERS = 1 << 14
_DEMO = ("log/ratings.csv", "log/movies.csv")
_DESKTOP = (".DS_Store", "Thumbs.db", "desktop.ini", ".nfs*")
"""Files that file managers and network disks leave in every folder."""

_OWN = (
    *_HEADERS,
    *_PREPARED,
    *_RUN,
    *_MODEL,
    *_SEARCH,
    *_TRACKERS,
    *_EVALUATION,
    *_EXPORT,
    *_ONNX,
    *_CACHE,
    *_DRAFTS,
    *_UNFINISHED,
    *_DESKTOP,
)


def find_foreign(folder: Path, *, needs_header: bool = True) -> Path | None:
    """Return a file below a folder that seqrec did not write; None if there is none.

    Args:
        folder: the folder.
        needs_header: without a file in it that only seqrec writes, the first file counts as
            foreign; False for what may be unfinished.
    """
    files = list(_walk(folder))
    foreign = next((file for file in files if not _is_own_name(file, folder)), None)
    if foreign is None and needs_header and files and not any(map(is_header, files)):
        return files[0]
    return foreign


def is_header(file: Path) -> bool:
    """Test whether a file marks its folder as one that seqrec wrote."""
    if file.name != _CONFIG_FILE and file.name not in _HEADERS:
        return False
    try:
        text = file.read_text(encoding="utf-8")
        if file.name == _CONFIG_FILE:
            return _PROVENANCE.search(text) is not None
        content = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and all(key in content for key in _HEADERS[file.name])


def _walk(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder but folders; links are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _is_own_name(file: Path, folder: Path) -> bool:
    if file.is_symlink():
        return False
    name = file.relative_to(folder).as_posix()
    return (
        name in _DEMO or _is_card(file) or any(fnmatchcase(file.name, pattern) for pattern in _OWN)
    )


def _is_card(file: Path) -> bool:
    if file.name != _CARD:
        return False
    if file.parent.name == _CARD_FOLDER:
        return True
    try:
        if not file.is_file():  # a pipe would be waited for
            return False
        with file.open(encoding="utf-8", errors="replace") as opened:
            return _CARD_MARK.match(opened.read(_CARD_LETTERS)) is not None
    except OSError:
        return False
