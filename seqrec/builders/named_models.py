"""Resolution of MODEL: a run or model folder, a baseline's name and settings, a ranker."""

from collections.abc import Iterator
from pathlib import Path

from seqrec.baselines import NAMES, build_baseline, get_default_settings, parse_baseline_text
from seqrec.baselines.nearest_text import NearestText
from seqrec.baselines.settings import Settings
from seqrec.builders.other_catalog import match_items, reorder_items
from seqrec.data.histories import Histories
from seqrec.data.item_columns import item_texts
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import model_folder
from seqrec.models.text_encoder import TextEncoder
from seqrec.models.unchanged import read_unchanged
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.streams.windows import WindowKind
from seqrec.tokens.tokenizer import load_tokenizer

SEED_PREFIX = "seed-"
"""Prefix of the run folders of each seed within a run of several seeds."""


NamedModel = str | Path | Ranker
"""A run or model folder, the name of a baseline, or a ranker in memory."""


def open_recommender(
    model: NamedModel, data: PreparedData | None = None, *, lists_data_items: bool = True
) -> Recommender:
    """Return the recommender of a run or model folder, which reads the histories of ``data``.

    Items are matched by id. Notes of the recommender say which items of the data the model does
    not know, and which of its items the data lack.

    Args:
        model: the folder, or a recommender in memory.
        data: the data; None: histories are given in items of the model.
        lists_data_items: candidates are the items of the data; False: those of the model.
    """
    if isinstance(model, Ranker) and not isinstance(model, Recommender):
        raise SeqRecError(f"{model.name}: a baseline in memory; name a model")
    recommender = model if isinstance(model, Recommender) else Recommender.from_pretrained(model)
    if data is None or recommender.catalog_fingerprint == data.catalog_fingerprint:
        return recommender
    return match_items(recommender, data, lists_data_items=lists_data_items)


def open_same_items(model: str | Path, data: PreparedData) -> Recommender:
    """Return the recommender of a folder, with its items in the order of ``data``.

    Raises:
        SeqRecError: model and data differ in their set of items.
    """
    folder = model_folder(model)
    recommender, tokenizer = read_unchanged(
        folder, lambda: (Recommender.from_pretrained(folder), load_tokenizer(folder))
    )
    if recommender.catalog_fingerprint == data.catalog_fingerprint:
        return recommender
    return reorder_items(recommender, tokenizer, data)


def open_item_recommender(model: str | Path, data: PreparedData, reader: str) -> Recommender:
    """Return a recommender for a reader that supports neither event features nor times."""
    recommender = open_same_items(model, data)
    check_reads_items(recommender, model, reader)
    return recommender


def check_reads_items(ranker: Ranker, model: NamedModel, reader: str) -> None:
    """Refuse a ranker that reads event features or times."""
    if isinstance(ranker, ModelRanker) and ranker.events is not None:
        inputs = "events" if ranker.events.grammar.features else "times"
        raise SeqRecError(
            f"{model}: reads {inputs}, which {reader} does not; name a model that reads items only"
        )


def check_strict(start: Recommender, what: str) -> None:
    """Refuse a model that was refit, by whose metrics validation would choose.

    Raises:
        SeqRecError: it was.
    """
    if start.is_refit:
        raise SeqRecError(
            f"{what}: a refit model, which was trained on the validation part; name the folder "
            "strict of its run"
        )


def check_targets_are_unread(model: SeqRecForNextItem, windows: WindowKind, name: str) -> None:
    """Refuse a model whose positions would attend to their own targets."""
    if not model.config.causal and windows != "prefixes":
        raise SeqRecError(
            f"{name}: attends to later items (model.causal: false); with data.windows {windows} it "
            "would read the targets; take prefixes"
        )


def parse_baseline(model: NamedModel) -> tuple[str, Settings] | None:
    """Return the baseline that MODEL names; None for a ranker, or a folder, which goes first."""
    if isinstance(model, Ranker) or Path(model).is_dir():
        return None
    if str(model).partition(":")[0] not in NAMES:
        raise SeqRecError(
            f"{model}: neither a run or model folder nor a baseline ({', '.join(NAMES)})"
        )
    return parse_baseline_text(str(model))


def open_ranker(
    model: NamedModel,
    data: PreparedData,
    histories: Histories,
    *,
    lists_data_items: bool = True,
) -> Ranker:
    """Return the ranker that MODEL names; see ``open_recommender``."""
    if isinstance(model, Ranker) and not isinstance(model, Recommender):
        if model.num_items != data.num_items:
            raise SeqRecError(
                f"{model.name}: fitted to {model.num_items:,} items, not to the "
                f"{data.num_items:,} of {data.path}"
            )
        return model
    named = parse_baseline(model)
    if named is None:
        return open_recommender(model, data, lists_data_items=lists_data_items)
    name, settings = named
    if name == NearestText.name:
        return nearest_text(data, settings)
    if name == "recent-popularity":
        histories = data.histories(["time"])
    return build_baseline(name, histories, data.num_items, settings)


def nearest_text(data: PreparedData, settings: Settings) -> NearestText:
    """Return the baseline that compares item texts with a text encoder."""
    settings = get_default_settings(NearestText.name) | settings
    columns = settings["columns"].split("+")
    texts = item_texts(data.items(), columns, f"{NearestText.name}: columns")
    encoder = TextEncoder.from_pretrained(settings["encoder"])
    return NearestText(encoder.encode(texts), **settings)


def seed_folders(model: NamedModel) -> dict[int, Path]:
    """Return the runs of a folder with one run per seed, by seed; empty for any other MODEL."""
    if isinstance(model, Ranker):
        return {}
    folders = Path(model).glob(f"{SEED_PREFIX}*")
    seeds = {folder.name.removeprefix(SEED_PREFIX): folder for folder in folders}
    return {
        int(seed): seeds[seed] for seed in sorted(seeds, key=_as_number) if _as_number(seed) >= 0
    }


def _as_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1


def open_rankers(
    model: NamedModel, data: PreparedData, histories: Histories
) -> Iterator[tuple[int, Ranker]]:
    """Yield the rankers that MODEL names with their seeds: one, or one per seed of a run."""
    folders = seed_folders(model)
    if not folders:
        yield 0, open_ranker(model, data, histories)
    for seed, folder in folders.items():
        yield seed, open_recommender(folder, data).with_name(folder.parent.name)
