"""Parts of a self-contained HTML page, without scripts, fonts or other files."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1c2430; --quiet: #566172;
        --line: #e3e7ec; --block: #f5f7f9; --warn: #fdf3df; --edge: #c8642b; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
       max-width: 54rem; margin: 2.5rem auto; padding: 0 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin-bottom: 0.2rem; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.note { color: var(--quiet); font-size: 0.9rem; }
p.warning { background: var(--warn); border-left: 4px solid var(--edge); padding: 0.5rem 0.8rem; }
ul { padding-left: 1.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
div.wide { overflow-x: auto; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; text-align: left; vertical-align: top;
         border-bottom: 1px solid var(--line); }
div.wide th:first-child, div.wide td:first-child { position: sticky; left: 0;
                                                   background: var(--page); }
.number { text-align: right; }
td small { display: block; color: var(--quiet); font-size: 0.75rem; white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; }
img { width: 40rem; max-width: 100%; }
summary { cursor: pointer; color: var(--quiet); }
pre { background: var(--block); padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; }
@media (prefers-color-scheme: dark) {
  :root { --page: #1f1f1f; --text: #e4e7eb; --quiet: #a3adba; --line: #3a3f46; --block: #2a2c2f;
          --warn: #3b2f1d; --edge: #d98a4f; }
  img { filter: invert(0.88) hue-rotate(180deg); }
}
"""


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def warning(text: str) -> str:
    """A highlighted warning about the results."""
    return f'<p class="warning">{escape(text)}</p>'


def bullets(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def image(png: bytes, description: str) -> str:
    return (
        f'<img src="data:image/png;base64,{b64encode(png).decode()}" alt="{escape(description)}">'
    )


def preformatted(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def details(summary: str, *parts: str) -> str:
    """Parts that are folded until the reader opens them."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def wide(table: str) -> str:
    """A table that scrolls sideways on a narrow screen."""
    return f'<div class="wide">{table}</div>'


def page(title: str, parts: Sequence[str]) -> str:
    """The page that consists of these HTML parts."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )
