"""Files of a source: their names in messages, and the paths that parsers read."""

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path


class TemporaryFolder:
    """A folder that is deleted when nothing refers to this object, at the latest at the end."""

    def __init__(self) -> None:
        """Make the folder."""
        self.path = Path(tempfile.mkdtemp(prefix="seqrec-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class SourceFile:
    """A file of a source; its text is its name in messages."""

    name: str
    original: Path
    """The file, or the local copy of a remote one."""
    path: Path
    """The bytes that parsers read: the file itself, or a temporary copy in another form."""
    label: str = ""
    """The name in the manifest."""
    keys: dict[str, str | None] = field(default_factory=dict)
    """Values of hive partitions, such as ``{"day": "2024-01-02"}``."""
    is_json_array: bool = False
    """True if each line of ``path`` is an entry of one JSON array."""
    temporary: tuple[TemporaryFolder, ...] = ()

    def __str__(self) -> str:
        """Return the name in messages."""
        return self.name

    @property
    def file_name(self) -> str:
        """The last part of the name."""
        return self.name.replace("\\", "/").rsplit("/", 1)[-1]

    def replace_bytes(self, *, is_json_array: bool = False) -> "SourceFile":
        """Return the file with the path of a copy that is yet to be written."""
        folder = TemporaryFolder()
        return replace(
            self,
            path=folder.path / "copy",
            is_json_array=self.is_json_array or is_json_array,
            temporary=(*self.temporary, folder),
        )


def local_file(path: Path, label: str | None = None) -> SourceFile:
    """Return a local file as a source file."""
    return SourceFile(str(path), path, path, path.name if label is None else label)
