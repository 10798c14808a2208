"""The files of the page, read once: nothing but these is served from disk."""

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "page"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""The Content-Security-Policy: files and requests of this server alone, no markup from strings."""
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


class PageFile(NamedTuple):
    """A file of the page."""

    content: bytes
    media_type: str


def _read_files() -> dict[str, PageFile]:
    files = {
        f"/page/{file.name}": PageFile(file.read_bytes(), MEDIA_TYPES[file.suffix])
        for file in sorted(FOLDER.iterdir())
        if file.suffix in MEDIA_TYPES
    }
    files["/"] = files.pop("/page/index.html")
    return files


PAGE_FILES = _read_files()
"""The files by the path at which they are served."""
