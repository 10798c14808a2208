"""Everything that a run reads, which its output must not replace."""

from collections.abc import Iterable
from pathlib import Path

from seqrec.config.recipe import Recipe
from seqrec.config.recipe_paths import list_recipe_paths


def list_reads(
    recipe: str | Path, data: str | Path, settings: Iterable[Recipe], *more: str | Path | None
) -> list[str | Path]:
    """Return what a run reads, for ``refuse_existing``.

    Args:
        recipe: the argument RECIPE; a shipped recipe's name is no file of the user's.
        data: the prepared folder.
        settings: the resolved recipes, which name models, pairs, labels and caches.
        more: other files.
    """
    files = [file for file in (recipe, *more) if file is not None and Path(file).is_file()]
    return [*files, data, *(path for one in settings for path in list_recipe_paths(one))]
