"""Literals of SQL."""


def quote_text(text: str) -> str:
    """Return a text literal; quotes are doubled, nothing else has a meaning in it."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """Return a quoted name of a table or column."""
    return '"' + name.replace('"', '""') + '"'
