"""New items for a catalog that stays: the rows of a file that the catalog lacks."""

import polars as pl

from seqrec.data.log.item_file import ItemFile
from seqrec.errors import SeqRecError


def read_id_lists(cells: pl.Series) -> list[list[str]]:
    """Return lists of ids: a column of lists, or of texts with ids between ``|`` or blanks."""
    if cells.dtype == pl.List:
        return cells.cast(pl.List(pl.String)).fill_null([]).to_list()
    return [cell.replace("|", " ").split() for cell in cells.cast(pl.String).fill_null("")]


def add_new_items(items: pl.DataFrame, file: ItemFile) -> pl.DataFrame:
    """Return a catalog with the items of a file that it lacks, after its own.

    Known items are left as they are. The new ones have no interactions; a column that the file
    lacks is empty for them, and one that the catalog lacks for the known items.

    Raises:
        SeqRecError: a column of other values than the catalog's.
    """
    known = items["item_id"].implode()
    new = file.table.filter(~pl.col("item_id").is_in(known))
    own = ("item", "num_interactions")
    new = new.select(name for name in new.columns if name not in own)
    numbers = pl.int_range(len(items), len(items) + len(new), eager=True)
    new = new.with_columns(
        item=numbers.cast(items["item"].dtype),
        num_interactions=pl.lit(0, dtype=items["num_interactions"].dtype),
    )
    try:
        shared = {name: items.schema[name] for name in new.columns if name in items.columns}
        return pl.concat([items, new.cast(shared)], how="diagonal")  # type: ignore[arg-type]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())
        raise SeqRecError(
            f"{file.name}: a column has other values than that of the model's items: {reason}"
        ) from error
