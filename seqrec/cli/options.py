"""Options that several verbs have."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the resolved settings and stop; train nothing.")
]

PreparedFolder = Annotated[Path, typer.Option(help="Prepared folder, written by seqrec prepare.")]
TrainingData = Annotated[
    Path | None,
    typer.Option(
        help="Prepared folder, written by seqrec prepare; for text recipes a file, folder or "
        "pattern of examples (.jsonl, .ndjson, .parquet)."
    ),
]
"""``PreparedFolder``, where ``--dry-run`` does without it."""

Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="Name of a shipped recipe (sft, sft-best, distill, dpo, reward-model, grpo, search, "
        "text-sft, text-dpo, text-kto, text-distill, mixed-sft), or a YAML file.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY.PATH=VALUE", help="Recipe settings to change, such as trainer.max_epochs=3."
    ),
]

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Run folder or model folder.")]
KeepSeen = Annotated[
    bool,
    typer.Option(
        "--keep-seen", help="Also rank items of the user's history; default: exclude them."
    ),
]
MemoryMb = Annotated[
    float | None,
    typer.Option(help="Memory for scores, in MiB; default: chosen for the processor."),
]
