"""Addresses of stores: ``lancedb:exports/db``, ``postgresql://host/db``, ``chroma:http://host``."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from seqrec.errors import SeqRecError

KINDS = ("lancedb", "pgvector", "qdrant", "milvus", "chroma", "duckdb")
SCHEMES = {"postgresql": "pgvector", "postgres": "pgvector"}
"""Schemes of addresses that belong to one kind."""
NAME = re.compile(r"(?=.{3,40}$)[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
"""Names that every store takes."""
DEFAULT_NAME = "items"
SECRET_PARAMETERS = ("password", "token", "api_key", "sslpassword")


class Address(NamedTuple):
    """The address of one table of items."""

    kind: str
    url: str
    """Spelled as the store's client expects it."""
    name: str = DEFAULT_NAME

    @property
    def label(self) -> str:
        """Return the address without passwords."""
        shown = mask_url(self.url)
        prefix = "" if shown.partition(":")[0] in SCHEMES else f"{self.kind}:"
        suffix = "" if self.name == DEFAULT_NAME else f"#{self.name}"
        return f"{prefix}{shown}{suffix}"

    @property
    def secret(self) -> str | None:
        """Return the password in the address."""
        if "://" not in self.url:
            return None
        split = urlsplit(self.url)
        parameters = dict(parse_qsl(split.query))
        given = [parameters[name] for name in SECRET_PARAMETERS if name in parameters]
        password = split.password or next(iter(given), None)
        return None if password is None else unquote(password)


def is_store(text: str) -> bool:
    """Return whether a text names a store by its kind or scheme."""
    prefix, separator, _ = text.partition(":")
    return bool(separator) and (prefix in KINDS or prefix in SCHEMES)


def parse_address(text: str, option: str) -> Address:
    """Return the address of ``KIND:URL``, with ``#NAME`` for a table of another name.

    Raises:
        SeqRecError: neither a kind nor a scheme that names one.
    """
    prefix, _, rest = text.partition(":")
    if not is_store(text) or not rest:
        raise SeqRecError(
            f"{option} {mask_url(text)}: write KIND:URL, such as lancedb:exports/db or "
            f"postgresql://host/db; kinds are {', '.join(KINDS)}"
        )
    url, _, name = (text if prefix in SCHEMES else rest).partition("#")
    return build_address(SCHEMES.get(prefix, prefix), url, name or DEFAULT_NAME)


def build_address(kind: str, url: str, name: str) -> Address:
    """Return a checked address.

    Raises:
        SeqRecError: a name that some store refuses.
    """
    if not NAME.fullmatch(name):
        raise SeqRecError(
            f"--name {name}: 3 to 40 letters, digits and single _ between them, a letter first"
        )
    return Address(kind, url, name)


def mask_url(url: str) -> str:
    """Return an address with ``***`` for its password."""
    if "://" not in url:
        return url
    try:
        split = urlsplit(url)
        netloc = split.netloc
        if "@" in netloc:
            user, _, host = netloc.rpartition("@")
            name, separator, _ = user.partition(":")
            netloc = f"{name}{separator and ':***'}@{host}"
        pairs = [
            (name, "***" if name in SECRET_PARAMETERS else value)
            for name, value in parse_qsl(split.query, keep_blank_values=True)
        ]
        query = urlencode(pairs, quote_via=quote, safe="/*")
        return f"{split.scheme}://{netloc}{split.path}{query and '?'}{query}"
    except ValueError:
        return url.partition("://")[0] + "://***"
