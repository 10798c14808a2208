"""One self-contained HTML page: no script, no font, no file beside it."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 54rem;
       margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0.2rem; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.note { color: #566172; font-size: 0.9rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
div.wide { overflow-x: auto; }
th, td { padding: 0.3rem 1.2rem 0.3rem 0; text-align: left; border-bottom: 1px solid #e3e7ec; }
.number { text-align: right; }
th { color: #566172; font-weight: 600; }
img { max-width: 100%; }
pre { background: #f5f7f9; padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; }
"""


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def image(png: bytes, description: str) -> str:
    return (
        f'<img src="data:image/png;base64,{b64encode(png).decode()}" alt="{escape(description)}">'
    )


def preformatted(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def wide(table: str) -> str:
    """A table that scrolls sideways on a narrow screen."""
    return f'<div class="wide">{table}</div>'


def page(title: str, parts: Sequence[str]) -> str:
    """The page of these parts, each of them HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )
