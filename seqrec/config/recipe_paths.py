"""The files and folders that a recipe names."""

from seqrec.config.recipe import Recipe
from seqrec.config.text_recipe import TextRecipe

PATH_KEYS = {
    "data": ("pairs", "labels", "validation", "catalog"),
    "model": ("from_pretrained", "backbone", "adapter", "initial_vectors_of"),
    "objective": ("reference", "cache", "teachers", "teacher"),
}
"""Keys of each block that hold a path, or a list of paths."""
REWARD_KEY = "path"
"""The key of a reward that holds a path."""


def list_recipe_paths(recipe: Recipe | TextRecipe) -> list[str]:
    """Return every path in a recipe: models, pairs, labels, caches, rewards, a text encoder."""
    blocks = recipe.model_dump()
    values = [blocks[block].get(key) for block, keys in PATH_KEYS.items() for key in keys]
    values += [reward.get(REWARD_KEY) for reward in blocks["objective"].get("rewards", ())]
    values.append((blocks["model"].get("content") or {}).get("encoder"))
    lists = [value if isinstance(value, list | tuple) else [value] for value in values]
    return [str(path) for paths in lists for path in paths if path is not None]
