"""``seqrec serve``."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.heap import share_heap
from seqrec.cli.output import get_progress_printer
from seqrec.cli.values import parse_feature
from seqrec.config.defaults import SERVE
from seqrec.errors import SeqRecError

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="Run or model folders, links or files that point to them, or baselines with --data; "
        "NAME=MODEL gives one a name.",
    ),
]
Port = Annotated[int, typer.Option(help="Port to listen on; 0: any free one.")]
Host = Annotated[
    str, typer.Option(help="Address to listen on; beyond this machine a token is needed.")
]
Data = Annotated[
    Path | None,
    typer.Option(help="Prepared folder: baselines are fitted to it, the page shows its users."),
]
Split = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=WEIGHT", help="Share of the users that a model answers; repeatable."
    ),
]
Retrieval = Annotated[
    str,
    typer.Option(
        metavar="flat|hnsw|PATH|STORE",
        help="Exact search, an index, the folder of an exported one, or a store's address.",
    ),
]
Engine = Annotated[str, typer.Option(help="Library that computes the models: torch or onnx.")]
LanguageModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Language model that reads conditions of requests in words which the words of the "
        "catalog do not name.",
    ),
]
Evaluation = Annotated[
    Path | None, typer.Option(help="Folder of seqrec evaluate --out, whose table the page shows.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="File with the bearer token; default: the variable SEQREC_TOKEN."),
]
BatchSize = Annotated[int, typer.Option(help="Histories that are ranked at once.")]
QueueSize = Annotated[int, typer.Option(help="Histories that may wait; more get 429.")]
Timeout = Annotated[float, typer.Option(help="Seconds after which a request gets 504.")]
MaxBodyKb = Annotated[int, typer.Option(help="Largest body of a request, in KiB.")]
UserStore = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|postgresql://...",
        help="Keep users' histories in a SQLite file or PostgreSQL; requests hold new events only.",
    ),
]
Drain = Annotated[
    float, typer.Option(help="Seconds between a signal to end and the last accepted connection.")
]
Cors = Annotated[
    list[str] | None,
    typer.Option(metavar="ORIGIN", help="Site whose pages may call this server; repeatable."),
]
AccessLog = Annotated[
    bool, typer.Option("--access-log/--no-access-log", help="Write a line for every request.")
]
LogHistories = Annotated[
    bool, typer.Option("--log-histories", help="Write histories into these lines.")
]


def serve(
    models: Models,
    port: Port = SERVE.port,
    host: Host = SERVE.host,
    data: Data = None,
    split: Split = None,
    retrieval: Retrieval = SERVE.retrieval,
    engine: Engine = SERVE.engine,
    language_model: LanguageModel = None,
    evaluation: Evaluation = None,
    token_file: TokenFile = None,
    batch_size: BatchSize = SERVE.batch_size,
    queue_size: QueueSize = SERVE.queue_size,
    timeout: Timeout = SERVE.timeout,
    max_body_kb: MaxBodyKb = SERVE.max_body_kb,
    user_store: UserStore = None,
    drain: Drain = SERVE.drain,
    cors: Cors = None,
    access_log: AccessLog = True,
    log_histories: LogHistories = False,
) -> None:
    """Answer requests for recommendations over HTTP; Ctrl-C ends it."""
    share_heap()
    seqrec.serve(
        models,
        port=port,
        host=host,
        data=data,
        split=dict(_parse_weight(text) for text in split or ()),
        retrieval=retrieval,
        engine=engine,
        language_model=language_model,
        evaluation=evaluation,
        token_file=token_file,
        batch_size=batch_size,
        queue_size=queue_size,
        timeout=timeout,
        max_body_kb=max_body_kb,
        user_store=user_store,
        drain=drain,
        cors=cors or (),
        access_log=access_log,
        log_histories=log_histories,
        say=get_progress_printer(as_json=False),
    )


def _parse_weight(text: str) -> tuple[str, float]:
    """The name and weight of ``NAME=WEIGHT``."""
    name, weight = parse_feature(text, "--split")
    try:
        return name, float(weight)
    except ValueError as error:
        raise SeqRecError(f"--split {text}: write it as NAME=WEIGHT, such as new=0.1") from error
