"""The bodies of answers for the page: evidence, genres, users, an evaluation."""

from pydantic import BaseModel, Field

from seqrec.serving.answers import Item, ModelIdentity


class FollowedAnswer(BaseModel):
    """Counts of an item after a title in training."""

    weight: float = Field(description="Times, or with is_weighted a sum of weights.")
    share: float = Field(description="Relative to everything that followed the title.")


class TitleEvidenceAnswer(Item):
    """Evidence of a title of the history for an item."""

    rank_without: int = Field(description="Rank of the item without this title.")
    factor: float | None = Field(
        description="Probability of the item with the title, over that without it; null if the "
        "model gives no probabilities, or nothing is left of the history."
    )
    followed: FollowedAnswer | None
    cosine: float | None = Field(description="Similarity of the vectors of item and title.")


class CauseAnswer(Item):
    """A title of the history without which the item would stand lower."""

    rank_without: int = Field(description="Rank of the item without this title.")
    factor: float | None
    followed: dict[str, int] | None = Field(
        description="times: how often the item was among the next few after the title in training; "
        "watched: interactions with the title."
    )
    shared: dict[str, list[str]] = Field(description="Values in common, by column.")
    is_asked: bool


class ExplanationAnswer(BaseModel):
    """Why an item is listed, in a sentence, and the facts that it holds."""

    sentence: str
    source: str
    rank: int
    rank_without: int = Field(description="Rank without all titles of because.")
    rank_alone: int = Field(description="Rank after the titles of because alone.")
    wishes: list[str]
    because: list[CauseAnswer]


class EvidenceAnswer(Item):
    """Why an item is listed."""

    score: float
    rank: int = Field(description="Among all items that are not in the history.")
    titles: list[TitleEvidenceAnswer]
    explanation: ExplanationAnswer | None = Field(description="With sentences alone.")


class CountingAnswer(BaseModel):
    """The way in which transitions were counted."""

    max_steps: int = Field(description="Largest distance, in items, that counts.")
    is_weighted: bool


class ExplainAnswer(BaseModel):
    """The answer of ``POST /explain``."""

    model: ModelIdentity
    unknown_item_ids: list[str]
    counting: CountingAnswer | None = Field(description="Null: no transitions are known.")
    items: list[EvidenceAnswer]


class Genre(BaseModel):
    """A genre of a catalog."""

    name: str
    items: int


class GenresAnswer(BaseModel):
    """The answer of ``GET /genres``."""

    genres: list[Genre]


class LogUsersAnswer(BaseModel):
    """The answer of ``GET /log/users``."""

    num_users: int
    examples: list[str]


class WatchedAnswer(Item):
    """An interaction of a user."""

    part: str = Field(description="training, validation or test.")


class LogUserAnswer(BaseModel):
    """The answer of ``GET /log/user``."""

    user_id: str
    watched: list[WatchedAnswer]


class EvaluationAnswer(BaseModel):
    """The answer of ``GET /evaluation``."""

    columns: list[str]
    rows: list[list[str]]
    notes: list[str]
