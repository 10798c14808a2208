"""The types of fields in bodies, with the largest sizes that they may have."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from seqrec.ranking.served import MAX_GUIDANCE
from seqrec.serving.limits import MAX_EVENTS, MAX_IDS, MAX_K, MAX_KEYS, MAX_LETTERS, MAX_TEXT

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LETTERS)]
Whole = Annotated[StrictInt, Field(ge=-(1 << 63), lt=1 << 63)]
Id = Text | Whole
Scalar = Annotated[str, StringConstraints(max_length=MAX_LETTERS)] | bool | Whole | float | None
Event = Id | Annotated[dict[Text, Scalar], Field(min_length=1, max_length=MAX_KEYS)]
History = Annotated[list[Event], Field(max_length=MAX_EVENTS)]
Ids = Annotated[list[Id], Field(max_length=MAX_IDS)]
User = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_LETTERS, pattern=r"^[^\x00-\x1f\x7f]+$")
]
ListLength = Annotated[int, Field(ge=1, le=MAX_K, strict=True)]
Features = Annotated[dict[Text, Scalar], Field(max_length=MAX_KEYS)]
Guidance = Annotated[float, Field(ge=0, le=MAX_GUIDANCE)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LETTERS)]
Words = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Where = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LETTERS)]
"""Checked by ``check_condition`` where it is used."""


class Body(BaseModel):
    """A body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
