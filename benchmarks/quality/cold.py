"""Cold-start items by their content, and the cost of content to warm items."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.prepared import Missing, prepared
from benchmarks.engine.rows import Row, Target, at_least, row
from benchmarks.quality.table import MODULE, RECIPES, judged, rows_of, trained, write_expected

NAME = Path(__file__).stem
K = 50
ENCODER = RECIPES / ".data" / "text-encoder"
"""A folder that holds the text encoder, or a link to one."""


def measure(quick: bool) -> Iterator[Row]:
    """Id plus content beside ids alone and the baseline that reads texts."""
    if not ENCODER.exists():
        raise Missing(f"{ENCODER}: put the text encoder's folder there")
    folder = prepared("ml-1m-cold")
    content = trained(
        RECIPES / "ml1m-cold" / "content.yaml",
        folder,
        f"model.content.encoder={ENCODER}",
        quick=quick,
        name="ml1m-cold-content",
    )
    ids = trained(RECIPES / "ml1m-a" / "sasrec.yaml", folder, quick=quick, name="ml1m-cold-ids")
    baselines = ["popularity", f"nearest-text:encoder={ENCODER}"]
    for only in ("cold", "warm"):
        options = ["--only", only, "--k", f"10,{K}"]
        options += ["--metric", f"recall@{K}" if only == "cold" else "ndcg@10"]
        work = f"ml-1m, {only} targets"
        result = judged(
            f"ml1m-{only}", [content, ids], folder, *options, baselines=baselines, quick=quick
        )
        if not quick and only == "cold":
            command = f"python -m {MODULE} {NAME}"
            write_expected(RECIPES / "ml1m-cold", content.name, result, command, [f"recall@{K}"])
        chance = K / result["catalog"]
        targets: dict[tuple[str, str], Target] = {}
        if only == "cold":
            targets = {("ml1m-cold-content", f"recall@{K}"): at_least(5 * chance)}
            yield row(NAME, f"{work}, recall@{K}", [chance], "", system="chance", module=MODULE)
        yield from rows_of(NAME, work, result, targets, metrics=("ndcg@10", f"recall@{K}"))
