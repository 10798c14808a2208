"""Verbs that are killed on other outputs: data that grow, stores, a server, language models."""

import json
import os
import shutil
import signal
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

from tests.campaigns.kill_kinds import (
    MINUTES_EVERY_STEP,
    Call,
    Content,
    Kind,
    read_files,
    read_run,
)

TEXT = [
    "data.row_length=64",
    "data.max_length=60",
    "data.held_out_share=0.25",
    "trainer.max_epochs=2",
    "trainer.precision=float32",
    "trainer.warmup_steps=0",
    "trainer.sample_steps=0",
    "trainer.learning_rate=0.01",
]
LORA = "model.tuning={name: lora, rank: 2, alpha: 4.0}"
USER = "u0"


def _append(call: Call) -> None:
    """Add a log to a prepared folder; version 1 is the folder without it."""
    import seqrec
    from seqrec.errors import SeqRecError

    if not call.out.exists():
        shutil.copytree(call.world / "data", call.out)
    if call.version:
        return
    try:
        seqrec.prepare(call.world / "later.csv", append=True, to=call.out)
    except SeqRecError as error:
        if "already" not in str(error):  # it was killed when all was done
            raise


def _export_onnx(call: Call) -> None:
    import seqrec

    model = call.world / ("other" if call.version else "start")
    seqrec.export(model, to="onnx", out=call.out, overwrite=True)


def _draft(call: Call) -> None:
    """Draft summaries by template; version 1 drafts fewer."""
    import seqrec

    limit = 5 if call.version else None
    seqrec.draft("summary", data=call.world / "data", out=call.out, limit=limit, overwrite=True)


def _publish(kind: str, call: Call) -> None:
    import seqrec

    model = call.world / ("other" if call.version else "start")
    seqrec.export(model, to=kind, url=str(call.out))


def _read_store(kind: str, out: Path) -> Content:
    """Return the model and the rows of the live version of a store; nothing before the first."""
    from seqrec.errors import SeqRecError
    from seqrec.retrieval.stores.opening import open_store

    try:
        live = open_store(f"{kind}:{out}")
    except SeqRecError as error:
        if "nothing is published" not in str(error):
            raise
        return {}
    try:
        tables = live.store.read(live.description.version)
        rows = sorted((row for table in tables for row in table.to_pylist()), key=str)
    finally:
        live.close()
    return {
        "model": live.description.model_fingerprint.encode(),
        "rows": json.dumps(rows, default=str).encode(),
    }


def _serve(call: Call) -> None:
    """Start a server, send it an event of a user, and end it; users of before stay."""
    import seqrec
    from seqrec.serving.client import Client

    before = _read_histories(call.out)
    user = f"u{call.version}"

    def use(address: str) -> None:
        try:
            with Client(address.rpartition(" ")[2]) as client:
                client.recommend_to(user, ["0", "1"], k=2)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    seqrec.serve(
        [call.world / "start"],
        port=0,
        user_store=str(call.out),
        drain=0.0,
        access_log=False,
        say=lambda address: threading.Thread(target=use, args=(address,)).start(),
    )
    after = _read_histories(call.out)
    assert after.get(user) and before.items() <= after.items(), (before, after)


def _read_histories(file: Path) -> dict[str, str]:
    import sqlite3

    if not file.exists():
        return {}
    with closing(sqlite3.connect(file)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'").fetchone():
            return {}
        return dict(database.execute("SELECT user_id, events FROM seqrec_histories").fetchall())


def _read_user(out: Path) -> Content:
    """Return what the server keeps of the user of version 0."""
    return {user: text.encode() for user, text in _read_histories(out).items() if user == USER}


def _train_text(recipe: str, call: Call) -> None:
    """Train a language model with a checkpoint at every step; version 1 has another seed."""
    import seqrec

    seqrec.train(
        recipe,
        data=call.world / f"{recipe}.jsonl",
        out=call.out,
        overrides=[
            *TEXT,
            LORA,
            f"model.backbone={call.world / 'language'}",
            f"trainer.seed={call.version}",
            MINUTES_EVERY_STEP,
        ],
        resume=call.resume,
        overwrite=True,
    )


PLACES = {
    "prepare, append": Kind(_append, read_files, grows=True),
    "draft, summary": Kind(_draft, read_files),
    "export, onnx": Kind(_export_onnx, read_files),
    "export, lancedb": Kind(
        partial(_publish, "lancedb"), partial(_read_store, "lancedb"), versions=True
    ),
    "export, duckdb": Kind(
        partial(_publish, "duckdb"), partial(_read_store, "duckdb"), ".duckdb", versions=True
    ),
    "serve": Kind(_serve, _read_user, ".sqlite", versions=True),
    "text-sft": Kind(partial(_train_text, "text-sft"), read_run, has_resume=True),
    "text-dpo": Kind(partial(_train_text, "text-dpo"), read_run, has_resume=True),
}
"""The other verbs that write."""


def build_places(folder: Path) -> None:
    """Add to the world a later log, a second model, a language model and its texts."""
    import seqrec
    from tests.campaigns.kill_kinds import NATIVE
    from tests.language import save_tiny_llama

    rows = "".join(f"n{n},{n % 30},{10**9 + n},3\n" for n in range(60))
    header = (folder / "log.csv").read_text().splitlines()[0]
    (folder / "later.csv").write_text(f"{header}\n{rows}")
    settings = [*NATIVE, "trainer.max_epochs=1", "trainer.seed=7"]
    seqrec.train("sft", data=folder / "data", out=folder / "other", overrides=settings)
    save_tiny_llama(folder / "language")
    texts = [{"text": f"a film about the sea, part {n}"} for n in range(24)]
    pairs = [{"prompt": f"Part {n}", "chosen": " yes", "rejected": " no"} for n in range(24)]
    for name, records in {"text-sft": texts, "text-dpo": pairs}.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines)
