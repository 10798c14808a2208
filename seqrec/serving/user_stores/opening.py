"""Addresses of stores."""

from pathlib import Path

from seqrec.serving.user_stores.interface import UserStore
from seqrec.serving.user_stores.postgresql import PostgresqlStore
from seqrec.serving.user_stores.sqlite import SqliteStore

POSTGRESQL = ("postgresql://", "postgres://")


def open_user_store(address: str) -> UserStore:
    """Return the store of an address: a ``postgresql://`` URL, or the path of a SQLite file.

    Raises:
        SeqRecError: it cannot be opened.
    """
    if address.startswith(POSTGRESQL):
        return PostgresqlStore(address)
    return SqliteStore(Path(address))
