"""``seqrec serve``: models behind HTTP."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from seqrec.arguments import check_arguments
from seqrec.builders.named_models import NamedModel
from seqrec.builders.text_search import open_request_decoder
from seqrec.config.defaults import SERVE
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.jobs.page_evaluation import read_evaluation
from seqrec.jobs.served_folders import Engines, load_model, look_at_pointer
from seqrec.ranking.ranker import Ranker
from seqrec.search.language_reading import Decoder
from seqrec.serving.app import build_app
from seqrec.serving.context import Context, ServerState
from seqrec.serving.engine import Engine
from seqrec.serving.log_lines import log_json_lines
from seqrec.serving.metrics import Metrics
from seqrec.serving.page_sources import PageSources
from seqrec.serving.reloading import reload_slot
from seqrec.serving.served_models import ModelPool, ModelSlot
from seqrec.serving.server import format_url, open_socket, run_server
from seqrec.serving.settings import ServerSettings, read_token
from seqrec.serving.user_stores.opening import open_user_store
from seqrec.serving.users import UserHistories


@check_arguments
def serve(
    models: NamedModel | Sequence[NamedModel],
    *,
    port: int = SERVE.port,
    host: str = SERVE.host,
    data: str | Path | None = None,
    split: Mapping[str, float] | None = None,
    retrieval: str = SERVE.retrieval,
    engine: Engines = SERVE.engine,
    language_model: str | Path | None = None,
    evaluation: str | Path | None = None,
    token_file: str | Path | None = None,
    batch_size: int = SERVE.batch_size,
    queue_size: int = SERVE.queue_size,
    timeout: float = SERVE.timeout,
    max_body_kb: int = SERVE.max_body_kb,
    user_store: str | None = None,
    drain: float = SERVE.drain,
    cors: Sequence[str] = (),
    access_log: bool = True,
    log_histories: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Answer requests for recommendations over HTTP until a signal ends it.

    Models are loaded anew at SIGHUP, at ``POST /admin/reload``, and when a pointer moves: a link to
    a folder, or a file whose first line is the path of one.

    Args:
        models: run or model folders, pointers to them, baselines (with ``data``), rankers in
            memory; ``NAME=MODEL`` gives one a name.
        port: port to listen on; 0: any free one.
        host: address to listen on; one that other machines reach needs a token.
        data: prepared folder that baselines are fitted to, and whose users the page shows.
        split: weights of the models, by name, by which users are assigned to them.
        retrieval: ``flat`` (exact), ``hnsw`` (an index built at the start), the folder of an
            exported index, or the address of a store that the model was exported to.
        engine: what computes the models of folders: ``torch``, or ``onnx``, which needs no export.
        language_model: reads conditions of requests in words that the words of a catalog do not
            name, for all models that read items alone.
        evaluation: folder of ``evaluate``, whose table the page shows.
        token_file: file with the bearer token that requests must carry; default: the environment
            variable ``SEQREC_TOKEN``.
        batch_size: histories that are ranked at once.
        queue_size: histories that may wait; more are refused.
        timeout: seconds after which a request is given up.
        max_body_kb: largest body of a request, in KiB.
        user_store: keeps the histories of users, so that requests hold new events only: the path
            of a SQLite file, or a ``postgresql://`` URL.
        drain: seconds between a signal to end and the last connection that is accepted.
        cors: origins of other sites whose pages may call this server.
        access_log: write a line for every request.
        log_histories: write histories into these lines.
        say: called with the address once models are loaded.

    Raises:
        SeqRecError: a mistake in options, or a model that cannot be loaded.
    """
    settings = ServerSettings(
        host,
        port,
        read_token(None if token_file is None else Path(token_file)),
        batch_size,
        queue_size,
        timeout,
        max_body_kb,
        tuple(cors),
        access_log,
        log_histories,
        drain,
    )
    settings.check()
    listed = [models] if isinstance(models, str | Path | Ranker) else list(models)
    decoder = open_request_decoder(language_model)
    pool = ModelPool(_build_slots(listed, data, split or {}, retrieval, engine, decoder))
    sources = PageSources(
        None if data is None else PreparedData.open(data),
        None if evaluation is None else read_evaluation(Path(evaluation)),
    )
    log_json_lines()
    users = None if user_store is None else UserHistories(open_user_store(user_store))
    metrics = Metrics()
    bound = open_socket(host, port)
    with bound:
        for slot in pool.slots.values():
            reload_slot(slot, pool, metrics)
        sources.warm_up()
        queue = Engine(pool, metrics, batch_size=batch_size, queue_size=queue_size)
        context = Context(queue, settings, metrics, ServerState(), users, sources)
        address = f"{', '.join(pool.slots)} on {format_url(bound)}"
        run_server(build_app(context), bound, context, partial(say, address))


def _build_slots(
    models: Sequence[NamedModel],
    data: str | Path | None,
    split: Mapping[str, float],
    retrieval: str,
    engine: Engines,
    decoder: Decoder | None,
) -> list[ModelSlot]:
    """Return the models by name, not loaded yet."""
    if not models:
        raise SeqRecError("MODEL: name at least one")
    named = [_name_model(model) for model in models]
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise SeqRecError(f"MODEL {name}: two models have this name; write NAME=MODEL")
    unknown = [name for name in split if name not in names]
    if unknown:
        raise SeqRecError(f"--split {unknown[0]}: no such model; the names are {', '.join(names)}")
    try:
        weights = [float(split.get(name, 0)) if split else 1.0 for name in names]
    except (TypeError, ValueError):
        weights = []
    if any(not 0 <= weight < float("inf") for weight in weights) or not sum(weights):
        raise SeqRecError("--split: weights are numbers from 0, one of them more than 0")
    return [
        ModelSlot(
            name,
            weight,
            partial(load_model, name, model, data, retrieval, engine, decoder),
            partial(look_at_pointer, model),
        )
        for (name, model), weight in zip(named, weights, strict=True)
    ]


def _name_model(model: NamedModel) -> tuple[str, NamedModel]:
    """Return the name of a model for requests, and the model."""
    if isinstance(model, Ranker):
        return model.name, model
    name, is_named, folder = str(model).partition("=")
    if is_named and name and "/" not in name and not Path(model).exists():
        return name, folder
    path = Path(model)
    if not path.exists():
        return str(model).partition(":")[0], model
    return path.parent.name if path.name == "model" else path.name, model
