"""Histories of users in a SQLite file."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.serving.user_stores.interface import Events, decode, encode, extend

BUSY_SECONDS = 5.0


class SqliteStore:
    """A row a user; other processes may read the file at the same time."""

    def __init__(self, file: Path) -> None:
        """Open or create the file.

        Raises:
            SeqRecError: it cannot be written, or is no database.
        """
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(
                file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS seqrec_histories "
                "(user_id TEXT PRIMARY KEY, events TEXT NOT NULL, changed_at REAL NOT NULL)"
            )
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise SeqRecError(f"--user-store {file}: {error}; name a file to write") from error

    def add(self, user: str, events: Sequence[Any]) -> Events:
        with self._lock, _one_line():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                history = extend(self._select(user), events)
                self._database.execute(
                    "INSERT INTO seqrec_histories VALUES (?, ?, ?) ON CONFLICT (user_id) DO UPDATE "
                    "SET events = excluded.events, changed_at = excluded.changed_at",
                    (user, encode(history), time.time()),
                )
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        return history

    def read(self, user: str) -> Events:
        with self._lock, _one_line():
            return self._select(user)

    def delete(self, user: str) -> bool:
        with self._lock, _one_line():
            query = "DELETE FROM seqrec_histories WHERE user_id = ?"
            return self._database.execute(query, (user,)).rowcount > 0

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _select(self, user: str) -> Events:
        query = "SELECT events FROM seqrec_histories WHERE user_id = ?"
        row = self._database.execute(query, (user,)).fetchone()
        return [] if row is None else decode(row[0])


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn an error of the database into one line, without the path: it may be an answer."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise SeqRecError(f"--user-store: cannot be read or written: {error}") from error
