"""The bodies of requests."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from seqrec.ranking.list_options import ListOptions
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.served import Reading
from seqrec.serving.conditions import check_condition
from seqrec.serving.field_types import (
    Body,
    Features,
    Guidance,
    History,
    Id,
    Ids,
    ListLength,
    ModelName,
    Text,
    User,
    Where,
    Words,
)
from seqrec.serving.limits import (
    MAX_EXPLAINED,
    MAX_HISTORIES,
    MAX_K,
    MAX_RULES,
    MAX_SENTENCES,
)
from seqrec.serving.reading_body import ReadingBody


class Restricted(Body):
    """Fields that choose the items of a list."""

    model: ModelName | None = Field(
        None, description="Name of the model; default: that of the user, or the first one."
    )
    k: ListLength | None = Field(
        None, description="Length of the list; default: 10, with candidates all of them."
    )
    allow: Ids | None = Field(None, description="Items that may be listed.")
    exclude: Ids | None = Field(None, description="Items that may not be listed.")
    where: Where | None = Field(
        None, description="Condition on the items' columns: genres contains 'Comedy'."
    )

    @property
    def condition(self) -> str | None:
        """The condition, which compares columns with values only.

        Raises:
            SeqRecError: it does more.
        """
        return None if self.where is None else check_condition(self.where)


class Histories(Body):
    """Fields that give histories."""

    history: History | None = Field(
        None,
        description="Item ids, or events such as {item_id: 318, rating: 5}, oldest first. With a "
        "user and a store: the events since the last request.",
    )
    histories: Annotated[list[History], Field(min_length=1, max_length=MAX_HISTORIES)] | None = (
        Field(None, description="Several histories, each of which gets a list.")
    )
    user: User | None = Field(
        None,
        description="Whose history it is: chooses the model of a split, and the stored events.",
    )
    features: Features = Field(
        {}, description="Values of features that the recommended items will have: {rating: 5}."
    )

    @model_validator(mode="after")
    def _check_histories(self) -> "Histories":
        is_whole = self.user is not None or self.may_be_empty
        if (self.history is None) == (self.histories is None) and not (
            self.history is None and is_whole
        ):
            raise ValueError("give history, or histories")
        if self.histories is not None and self.user is not None:
            raise ValueError("user: is of one history; leave it out, or give history")
        return self

    @property
    def may_be_empty(self) -> bool:
        """True for a request that says enough without a history."""
        return False

    def list_histories(self) -> list[list[Any]]:
        """Return the histories, with ids as they were given."""
        return [self.history or []] if self.histories is None else self.histories


class RecommendBody(Histories, Restricted):
    """The body of ``POST /recommend``."""

    exclude_seen: bool = Field(True, description="List no items of the history.")
    candidates: Ids | None = Field(None, description="Rank exactly these items, also seen ones.")
    mmr: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Diverse lists: weight of the score against similarity to earlier items."
    )
    max_per: Annotated[list[Text], Field(max_length=MAX_RULES)] = Field(
        [], description="COLUMN:N: at most N items of each value of a column."
    )
    pin: Annotated[list[Id], Field(max_length=MAX_RULES)] = Field(
        [], description="ITEM or ITEM:RANK: items that stand in every list."
    )
    plan: bool = Field(False, description="Predict features of the next item first.")
    guidance: Guidance = Field(
        1.0,
        description="Weight of features, plan and the words of text: more than 1 follows them "
        "further.",
    )
    text: Words | None = Field(
        None,
        description="A request in words, with one history or without: it may name items, genres, "
        "people, years and lengths, and say what items should be about.",
    )
    previous: ReadingBody | None = Field(
        None,
        description="The request of the answer to the turn before, perhaps edited: text goes on "
        "from it, and an empty text repeats it.",
    )
    shown: Ids = Field([], description="Ids that were listed for it: 'like the second one'.")

    @model_validator(mode="after")
    def _check_text(self) -> "RecommendBody":
        if self.is_in_words and self.histories is not None:
            raise ValueError("text: goes with one history; leave out histories")
        if self.shown and self.previous is None:
            raise ValueError("shown: goes with previous")
        return self

    @property
    def may_be_empty(self) -> bool:
        return self.is_in_words

    @property
    def is_in_words(self) -> bool:
        """True for a request in words, or for one that repeats its reading."""
        return self.text is not None or self.previous is not None

    def build_requests(self, histories: list[list[Any]]) -> list[ListRequest]:
        """Return the requests for lists after some histories."""
        own = for_one(self.allow), for_one(self.exclude), for_one(self.candidates)
        return [self._build_request(history, *own) for history in histories]

    def build_request_in_words(self, history: list[Any]) -> ListRequest:
        """Return the request for a list to which words add conditions."""
        return self._build_request(history, self.allow, self.exclude, self.candidates)

    def _build_request(
        self, history: list[Any], allow: Any, exclude: Any, candidates: Any
    ) -> ListRequest:
        rules = self.condition, self.mmr, self.max_per, self.pin
        options = ListOptions(allow, exclude, candidates, *rules)
        reading = Reading(self.features, self.plan, self.guidance)
        return ListRequest(history, self.k, self.exclude_seen, options, reading)


class SimilarBody(Restricted):
    """The body of ``POST /similar``."""

    item_id: Id = Field(description="The item.")

    @property
    def options(self) -> ListOptions:
        """The items that may be listed."""
        return ListOptions(for_one(self.allow), for_one(self.exclude), where=self.condition)


class ScoreBody(Histories):
    """The body of ``POST /score``."""

    model: ModelName | None = Field(None, description="Name of the model.")
    item_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_K)] = Field(
        description="The items to score after each history."
    )

    def build_requests(self, histories: list[list[Any]]) -> list[ListRequest]:
        """Return the requests that rank all of the items."""
        options = ListOptions(candidates=for_one(self.item_ids))
        reading = Reading(self.features, plan=False)
        return [ListRequest(history, options=options, reading=reading) for history in histories]


class ExplainBody(Body):
    """The body of ``POST /explain``."""

    model: ModelName | None = Field(None, description="Name of the model; default: the first one.")
    history: History = Field(description="Item ids, or events, oldest first.")
    item_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_EXPLAINED)] = Field(
        description="The items to explain."
    )
    features: Features = Field({}, description="Those of /recommend.")
    previous: ReadingBody | None = Field(
        None,
        description="The request in words under which the items were listed, as its answer has it; "
        "the items that it names follow the history.",
    )
    guidance: Guidance = Field(1.0, description="That of /recommend.")
    sentences: bool = Field(
        False,
        description=f"Also choose the titles that led to each item, and say so; at most "
        f"{MAX_SENTENCES} items.",
    )

    @model_validator(mode="after")
    def _limit_sentences(self) -> Self:
        if self.sentences and len(self.item_ids) > MAX_SENTENCES:
            raise ValueError(f"sentences: at most {MAX_SENTENCES} items")
        return self


class ReloadBody(Body):
    """The body of ``POST /admin/reload``."""

    model: ModelName | None = Field(None, description="Name of the model; default: all.")


def for_one(ids: list[str | int] | None) -> list[list[str | int]] | None:
    """Return ids as those of one history, so that requests with other ids share a batch."""
    return None if ids is None else [ids]
