"""A client of the server."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx

from seqrec.errors import SeqRecError
from seqrec.serving.answers import (
    Item,
    ItemsAnswer,
    ModelsAnswer,
    RecommendAnswer,
    ScoreAnswer,
    SimilarAnswer,
)

Event = str | int | Mapping[str, Any]


class Client:
    """Asks a server for lists; a refusal is a ``SeqRecError`` with the server's line.

    Options are the fields of the bodies that ``/docs`` describes: ``k``, ``allow``, ``where``.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 10.0) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def recommend(self, histories: Sequence[Sequence[Event]], **options: Any) -> RecommendAnswer:
        """Return a list for every history."""
        body = {"histories": [list(one) for one in histories], **options}
        return RecommendAnswer.model_validate(self._send("POST", "/recommend", json=body))

    def recommend_to(
        self, user: str, new_events: Sequence[Event] = (), **options: Any
    ) -> RecommendAnswer:
        """Return the list of a user whose history the server stores."""
        body = {"user": user, "history": list(new_events), **options}
        return RecommendAnswer.model_validate(self._send("POST", "/recommend", json=body))

    def recommend_in_words(
        self, text: str, history: Sequence[Event] = (), **options: Any
    ) -> RecommendAnswer:
        """Return the list for a request in words; its ``request`` is the next one's previous."""
        body = {"text": text, "history": list(history), **options}
        return RecommendAnswer.model_validate(self._send("POST", "/recommend", json=body))

    def find_similar(self, item_id: str, **options: Any) -> SimilarAnswer:
        """Return the items that are most similar to one."""
        body = {"item_id": item_id, **options}
        return SimilarAnswer.model_validate(self._send("POST", "/similar", json=body))

    def score(
        self, histories: Sequence[Sequence[Event]], item_ids: Sequence[str], **options: Any
    ) -> ScoreAnswer:
        """Return the scores of given items after every history."""
        body = {"histories": [list(one) for one in histories], "item_ids": list(item_ids)}
        return ScoreAnswer.model_validate(self._send("POST", "/score", json=body | options))

    def find_items(self, words: str, limit: int = 10) -> Sequence[Item]:
        """Return the items whose titles have some words, also misspelt ones."""
        found = self._send("GET", "/items", params={"q": words, "limit": limit})
        return ItemsAnswer.model_validate(found).items

    def list_models(self) -> ModelsAnswer:
        """Return the models that answer."""
        return ModelsAnswer.model_validate(self._send("GET", "/models"))

    def _send(self, method: str, path: str, **content: Any) -> Any:
        """Return the body of an answer.

        Raises:
            SeqRecError: the server refuses, or does not answer.
        """
        try:
            response = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise SeqRecError(f"{self._http.base_url}: no answer: {error}") from error
        if response.is_success:
            return response.json()
        try:
            detail = response.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = response.text
        raise SeqRecError(f"{self._http.base_url}: {response.status_code}: {detail}")
