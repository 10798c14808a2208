"""The bodies of answers, as the OpenAPI page describes them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ModelIdentity(BaseModel):
    """The model that answered."""

    name: str
    fingerprint: str = Field(description="sha256 of its item vectors, as exports name it.")
    version: str = Field(description="Hash of its files: equal versions answer equally.")


class Item(BaseModel):
    """An item of the catalog."""

    item_id: str
    title: str


class ListedItem(Item):
    """An item of a list."""

    rank: int
    score: float
    without: str | None = Field(
        None, description="Conditions of a request in words that the item does not fulfil."
    )


class ReadCondition(BaseModel):
    """A condition on a column of the items."""

    column: str
    operator: str
    value: str | int | float
    is_excluded: bool = Field(description="The condition may not hold.")
    words: str = Field(description="The words that it stands for.")


class ReadRequest(BaseModel):
    """The reading of a request in words."""

    items: list[str] = Field(description="Items that it names; they follow the history.")
    excluded_items: list[str] = Field(description="Items that it rejects.")
    where: str | None = Field(description="All conditions.")
    conditions: list[ReadCondition]
    text: str = Field(description="The words that are no condition.")
    notes: list[str] = Field(description="Words that were not understood.")


class RecommendedList(BaseModel):
    """The list of one history."""

    history: list[Item] = Field(description="The items that the model knows.")
    unknown_items: list[str] = Field(description="Ids that are not in the catalog; skipped.")
    unknown_features: list[str] = Field(description="Features and values that are not known.")
    fallback: str | None = Field(description="How items were chosen if no item is known.")
    plan: dict[str, str] | None = Field(None, description="Predicted features of the next item.")
    notes: list[str]
    k: int
    recommendations: list[ListedItem]
    request: ReadRequest | None = Field(
        None, description="The reading of the words, which is the next turn's previous."
    )
    understood: str | None = Field(None, description="The reading in one line.")
    doubt: str | None = Field(
        None, description="Why no item is a good answer to the words; null: one may be."
    )


class RecommendAnswer(BaseModel):
    """The answer of ``POST /recommend``: a list for each history."""

    model: ModelIdentity
    lists: list[RecommendedList]


class SimilarAnswer(BaseModel):
    """The answer of ``POST /similar``."""

    model: ModelIdentity
    similar_to: Item
    notes: list[str]
    k: int
    recommendations: list[ListedItem]


class ScoredItem(Item):
    """An item and its score."""

    score: float


class ScoredList(BaseModel):
    """The scores after one history, in the order of ``item_ids``."""

    unknown_items: list[str]
    unknown_features: list[str]
    fallback: str | None
    scores: list[ScoredItem]


class ScoreAnswer(BaseModel):
    """The answer of ``POST /score``."""

    model: ModelIdentity
    unknown_item_ids: list[str] = Field(
        description="Those of item_ids that are not in the catalog."
    )
    lists: list[ScoredList]


class CatalogItem(Item):
    """An item with its columns."""

    model_config = ConfigDict(extra="allow")


class ItemsAnswer(BaseModel):
    """The answer of ``GET /items``."""

    model: ModelIdentity
    items: list[CatalogItem]


class ModelAnswer(ModelIdentity):
    """A model of ``GET /models``."""

    is_default: bool = Field(description="It answers requests without a model and a user.")
    weight: float = Field(description="Its share of the users, relative to the other weights.")
    num_items: int
    max_length: int | None = Field(description="Items of a history that it reads.")
    features: list[str] = Field(description="Columns that events of histories may hold.")
    columns: list[str] = Field(description="Columns of the items, for where and max_per.")
    retrieval: str
    loaded_at: str
    kind: str


class ModelsAnswer(BaseModel):
    """The answer of ``GET /models``."""

    seqrec: str = Field(description="Version of seqrec.")
    models: list[ModelAnswer]


class ReloadAnswer(BaseModel):
    """The answer of ``POST /admin/reload``."""

    models: list[ModelIdentity]


class StatusAnswer(BaseModel):
    """The answer of the health routes."""

    status: str


class UserAnswer(BaseModel):
    """The answer of ``GET /users/{user}``."""

    user: str
    history: list[Any] = Field(description="Stored events, oldest first.")


class ErrorAnswer(BaseModel):
    """The answer to a request that is refused."""

    detail: str = Field(description="The cause and the fix, in one line.")
    request_id: str


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
    for status, text in {
        400: "A mistake in the request.",
        401: "The bearer token is missing or wrong.",
        404: "No such path, or nothing stored.",
        403: "The request comes from another site.",
        408: "The body arrived too slowly.",
        413: "The body is too large.",
        422: "A field is missing, unknown or out of range.",
        429: "Too many requests wait; Retry-After says when to come back.",
        500: "An error of the server; its log names the request.",
        503: "The server ends, or is not ready.",
        504: "No answer within the time limit.",
    }.items()
}
