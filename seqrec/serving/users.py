"""Histories of users, read and written without holding up other requests."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from seqrec.serving.user_stores.interface import Events, UserStore

logger = logging.getLogger(__name__)

R = TypeVar("R")


class StoreFailedError(Exception):
    """The store of users' histories does not answer."""


class UserHistories:
    """A store behind a thread of its own."""

    def __init__(self, store: UserStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="seqrec-users")

    async def add(self, user: str, events: Sequence[Any]) -> Events:
        """Add events to a user's history and return all of it."""
        if not events:
            return await self._run(lambda: self._store.read(user))
        return await self._run(lambda: self._store.add(user, events))

    async def read(self, user: str) -> Events:
        """Return the history of a user."""
        return await self._run(lambda: self._store.read(user))

    async def delete(self, user: str) -> bool:
        """Delete everything about a user; return False if there was nothing."""
        return await self._run(lambda: self._store.delete(user))

    def close(self) -> None:
        """Finish what runs, and release the store."""
        self._thread.shutdown()
        self._store.close()

    async def _run(self, function: Callable[[], R]) -> R:
        """Return the result of a call in the store's thread.

        Raises:
            StoreFailedError: the store does not answer; the log says why.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except Exception as error:
            logger.exception("store of users failed")
            raise StoreFailedError from error
