"""Histories of users in PostgreSQL, shared by several servers."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from seqrec.errors import SeqRecError, first_line
from seqrec.serving.user_stores.interface import Events, decode, encode, extend

R = TypeVar("R")

CREATE = (
    "CREATE TABLE IF NOT EXISTS seqrec_histories (user_id text PRIMARY KEY, events text NOT NULL, "
    "changed_at timestamptz NOT NULL DEFAULT now())"
)
CONNECT_SECONDS = 5


class PostgresqlStore:
    """A row a user, locked while events are added to it."""

    def __init__(self, url: str) -> None:
        """Connect, and create the table.

        Raises:
            SeqRecError: the package is missing, or the server refuses.
        """
        try:
            import psycopg
        except ImportError as error:
            raise SeqRecError(
                "--user-store: needs the package psycopg; install it with "
                "pip install 'seqrec[pgvector]'"
            ) from error
        self._errors = psycopg.OperationalError, psycopg.InterfaceError
        self._connect = lambda: psycopg.connect(
            url, autocommit=True, connect_timeout=CONNECT_SECONDS
        )
        self._lock = threading.Lock()
        try:
            self._connection = self._connect()
            self._connection.execute(CREATE)
        except psycopg.Error as error:
            raise SeqRecError(
                f"--user-store: PostgreSQL refuses: {first_line(error)}; check the address and PG* "
                "variables"
            ) from error

    def add(self, user: str, events: Sequence[Any]) -> Events:
        def run() -> Events:
            with self._connection.transaction():
                self._connection.execute(
                    "INSERT INTO seqrec_histories (user_id, events) VALUES (%s, '[]') "
                    "ON CONFLICT DO NOTHING",
                    (user,),
                )
                row = self._connection.execute(
                    "SELECT events FROM seqrec_histories WHERE user_id = %s FOR UPDATE", (user,)
                ).fetchone()
                assert row is not None  # inserted above
                history = extend(decode(row[0]), events)
                self._connection.execute(
                    "UPDATE seqrec_histories SET events = %s, changed_at = now() "
                    "WHERE user_id = %s",
                    (encode(history), user),
                )
            return history

        return self._run(run)

    def read(self, user: str) -> Events:
        def run() -> Events:
            query = "SELECT events FROM seqrec_histories WHERE user_id = %s"
            row = self._connection.execute(query, (user,)).fetchone()
            return [] if row is None else decode(row[0])

        return self._run(run)

    def delete(self, user: str) -> bool:
        query = "DELETE FROM seqrec_histories WHERE user_id = %s"
        return self._run(lambda: self._connection.execute(query, (user,)).rowcount > 0)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _run(self, function: Callable[[], R]) -> R:
        """Return the function's result; connect anew once if the connection is lost."""
        with self._lock:
            try:
                return function()
            except self._errors:
                self._connection = self._connect()
                return function()
