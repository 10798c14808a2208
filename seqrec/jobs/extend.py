"""``seqrec extend``: a trained model learns the items of tomorrow, before anybody has used them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrec.arguments import check_arguments
from seqrec.builders.extension import NEIGHBOURS, TextSource, choose_rows, extend_model
from seqrec.config.defaults import EXTEND
from seqrec.data.log.item_file import read_item_file
from seqrec.data.new_items import add_new_items
from seqrec.errors import SeqRecError
from seqrec.outputs import locate_output, new_folder, refuse_existing, reserve_output
from seqrec.ranking.recommender import Recommender
from seqrec.runs.extension import write_extended

ROWS = ("content", "text", "words", "neighbours", "random")


@check_arguments
def extend(
    model: str | Path,
    *,
    items: Any,
    out: str | Path,
    rows: str | None = None,
    encoder: str = EXTEND.encoder,
    columns: Sequence[str] = EXTEND.columns,
    verbatim_ids: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a copy of a model whose catalog has the items of a file, too.

    The rows of its own items stay, bit for bit, and with them its scores. The new items follow
    in the order of the file; items that the model knows are counted and left.

    Args:
        model: run or model folder.
        items: a file of items in a format of ``prepare --items``, or a frame.
        out: the model folder to write.
        rows: what the vectors of new items come from. ``content``: what the model has learned to
            compute from content. ``text``: the mean of the ten items with the nearest texts.
            ``words``: what a regression on the mean of the words of the text, by the model's own
            embeddings, predicts from the known items; for language models.
            ``neighbours``: the mean of the items that the column ``neighbours`` names.
            ``random``: drawn at the scale of the others. None: content if the model reads it, else
            neighbours if the file has them, else text.
        encoder: text encoder for content and text: a folder, an installed package that contains
            one, or a name on a model hub.
        columns: columns of the items whose text is read.
        verbatim_ids: keep ids as they are, as for ``prepare``.
        overwrite: replace ``out``.

    Returns:
        ``items``, ``new`` and ``known`` items, where their ``rows`` come from, and fingerprints.

    Raises:
        SeqRecError: a mistake in model, file or options.
    """
    if rows is not None and rows not in ROWS:
        raise SeqRecError(f"--rows {rows}: choose from {', '.join(ROWS)}")
    out = locate_output(out)
    refuse_existing(out, overwrite, (model, items))
    with reserve_output(out):
        recommender = Recommender.from_pretrained(model)
        file = read_item_file(items, verbatim_ids=verbatim_ids)
        table = add_new_items(recommender.items, file)
        num_new = len(table) - recommender.num_items
        chosen = choose_rows(recommender, NEIGHBOURS in file.table.columns, rows)
        grown = extend_model(recommender, table, chosen, TextSource(encoder, columns))
        with new_folder(out, overwrite=overwrite) as folder:
            sizes = write_extended(folder, *grown, table.drop(NEIGHBOURS, strict=False))
        return {
            "out": str(out),
            "items": len(table),
            "new": num_new,
            "known": len(file.table) - num_new,
            "rows": chosen,
            **sizes,
        }
