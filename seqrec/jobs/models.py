"""What MODEL may be: a run folder, a model folder, or a baseline's name and settings."""

from pathlib import Path

from seqrec.baselines import BASELINES, build_baseline, named_baseline
from seqrec.baselines.settings import Settings
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.recommender import Ranker, Recommender


def open_recommender(model: str | Path, data: PreparedData | None = None) -> Recommender:
    """The recommender of a run or model folder, which must know the catalog of ``data``."""
    recommender = Recommender.from_pretrained(model)
    if data is not None and recommender.catalog_fingerprint != data.catalog_fingerprint:
        raise SeqRecError(
            f"{model}: trained on another catalog than that of {data.path}; name the data that it "
            "was trained on, or train on these"
        )
    return recommender


def baseline_of(model: str | Path) -> tuple[str, Settings] | None:
    """The baseline that MODEL names; None for a folder, which goes before one of the same name."""
    if Path(model).is_dir():
        return None
    if str(model).partition(":")[0] not in BASELINES:
        raise SeqRecError(
            f"{model}: neither a run or model folder nor a baseline ({', '.join(BASELINES)})"
        )
    return named_baseline(str(model))


def open_ranker(model: str | Path, data: PreparedData, histories: Histories) -> Ranker:
    """The ranker that MODEL names."""
    named = baseline_of(model)
    if named is None:
        return open_recommender(model, data)
    name, settings = named
    if name == "recent-popularity":
        histories = data.histories(["time"])
    return build_baseline(name, histories, data.num_items, settings)
