"""What MODEL may be: a run folder, a model folder, or a baseline's name."""

from pathlib import Path

from seqrec.baselines import BASELINES, build_baseline
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


def open_ranker(model: str | Path, data: PreparedData, histories: Histories) -> Ranker:
    """The ranker that MODEL names; a folder goes before a baseline of the same name."""
    if str(model) in BASELINES and not Path(model).is_dir():
        return build_baseline(str(model), histories, data.num_items)
    if not Path(model).is_dir():
        raise SeqRecError(
            f"{model}: neither a run or model folder nor a baseline ({', '.join(BASELINES)})"
        )
    return open_recommender(model, data)
