"""Provenance of trained models: the data that they learned from, and how they were chosen."""

from collections.abc import Sequence
from pathlib import Path

from seqrec.builders.named_models import seed_folders
from seqrec.config.yaml_text import read_yaml
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.runs.folder import CONFIG_FILE
from seqrec.runs.judged_run import read_metrics

SOURCE_MODELS = (("model", "from_pretrained"), ("objective", "teachers"))
"""Settings that name models from which a run learns."""


def run_of(model: str | Path) -> Path:
    """Return the run folder of a model folder; the path itself if it lies in none."""
    folder = Path(model)
    is_part = folder.name == "model" and (folder.parent / CONFIG_FILE).is_file()
    return folder.parent if is_part else folder


def trained_elsewhere(models: Sequence[str | Path], prepared: PreparedData) -> list[str]:
    """Return a note for every run that learned from other prepared data than it is judged on.

    The runs that it started from or was taught by count, as far as their folders, or the cache of
    their answers, still say what they learned from. Nothing is known of lone model folders.
    """
    notes = []
    for model in models:
        for folder in list(seed_folders(model).values()) or [run_of(model)]:
            others = [run for run, data in learned_from(folder) if data != prepared.fingerprint]
            if others:
                whose = "" if others[0] == folder else f", by way of {others[0]},"
                notes.append(
                    f"{folder}: learned{whose} from other data than {prepared.path} or from "
                    "another split, which may hold the targets of this evaluation"
                )
    return notes


def learned_from(run: Path) -> list[tuple[Path, str]]:
    """Return a run and the runs that it started from or was taught by, with their data's
    fingerprints; where it learned from a cache, the cache's folder stands for its teachers.

    A run whose settings cannot be read has nothing to say. Each run is asked once, whatever they
    say of each other.
    """
    sources: list[tuple[Path, str]] = []
    asked, waiting = set(), [run]
    while waiting:
        one = waiting.pop(0)
        if one.resolve() not in asked:
            asked.add(one.resolve())
            found, models = _read_sources(one)
            sources += found
            waiting += map(run_of, models)
    return sources


def _read_sources(run: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    """Return the data that a run and its cache's teachers learned from, and the models it names."""
    try:
        config = read_yaml(run / CONFIG_FILE, str(run / CONFIG_FILE))
        provenance = config["provenance"]
        sources = [(run, provenance["data_fingerprint"])]
        start, teachers = (config[block].get(key) for block, key in SOURCE_MODELS)
        for fingerprint in provenance.get("cache", {}).get("learned_from", []):
            sources.append((Path(config["objective"]["cache"]), fingerprint))
    except (SeqRecError, TypeError, KeyError, AttributeError):
        return [], []
    names = teachers if isinstance(teachers, list) else []
    return sources, [name for name in (start, *names) if isinstance(name, str)]


def selection_of(models: Sequence[str | Path]) -> list[str]:
    """Return how trained models were chosen, and of how many seeds, for a protocol line."""
    metrics, num_seeds = set(), set()
    for model in models:
        folders = list(seed_folders(model).values()) or [run_of(model)]
        results = [read_metrics(folder) for folder in folders]
        found = [result for result in results if result is not None]
        if len(found) == len(folders):
            metrics |= {run["selection_metric"] for run in found if run["validation"]}
            num_seeds.add(len(folders))
    chosen = sorted(filter(None, metrics))
    parts = [f"models chosen by validation {', '.join(chosen)}"] if chosen else []
    return [*parts, f"seeds: {', '.join(map(str, sorted(num_seeds)))}"] if num_seeds else parts
