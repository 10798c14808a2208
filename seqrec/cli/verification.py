"""``seqrec verify``."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import Json, Model
from seqrec.cli.output import print_result

VerifiedIndex = Annotated[
    Path | None, typer.Option(help="Folder of an exported index, such as exports/mine/items/flat.")
]
NumDrawn = Annotated[
    int, typer.Option(help="Number of random histories, and of texts, whose tokens are compared.")
]
DrawSeed = Annotated[int, typer.Option(help="Seed of all random choices.")]


def verify(
    model: Model,
    index: VerifiedIndex = None,
    histories: NumDrawn = 2000,
    seed: DrawSeed = 0,
    as_json: Json = False,
) -> None:
    """Check that training, serving, saving and other tools see the same model; exit 1 if not."""
    from seqrec.reports.verification import verification_lines

    result = seqrec.verify(model, index=index, histories=histories, seed=seed)
    print_result(result, as_json, *verification_lines(result))
    if not result["passed"]:
        raise typer.Exit(1)
