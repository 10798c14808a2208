"""Folders of installed packages, which may carry weights."""

from importlib.util import find_spec
from pathlib import Path


def find_package_folders(name: str) -> list[Path]:
    """Return the folders of an installed package and their ``model`` folders, if they exist.

    The package is not imported. A name that is no package has no folders.

    Args:
        name: of the package; hyphens count as underscores.
    """
    module = name.replace("-", "_")
    package = find_spec(module) if module.isidentifier() else None
    locations = package.submodule_search_locations if package is not None else None
    folders = [Path(location) for location in locations or ()]
    return [one for folder in folders for one in (folder / "model", folder) if one.is_dir()]
