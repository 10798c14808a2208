"""Properties of objectives that the rules between the blocks of a recipe read."""

from typing import ClassVar

from seqrec.config.block import Block


class ObjectiveConfig(Block):
    """Properties of an objective that the rules between the blocks of a recipe read."""

    has_epochs: ClassVar[bool] = True
    """Training runs in epochs over batches of the data, not in updates."""
    reads_windows: ClassVar[bool] = False
    """Histories are cut as data.windows and data.stride say."""
    reads_pairs: ClassVar[bool] = False
    """Batches come from data.pairs, a share of which is held out."""
    can_refit: ClassVar[bool] = False
    """Once validation has chosen, the validation part may be trained on, too."""
    predicts_likes: ClassVar[bool] = False
    """The model predicts likes, not next items: it is chosen by auc, and reads data.labels."""
    reads_events: ClassVar[bool] = False
    """Event features and times are read and learned."""

    reads_requests: ClassVar[bool] = False
    """Requests in words are read, and validation also judges lists that they ask for."""

    @property
    def smooths_labels(self) -> bool:
        """Targets share their probability with the catalog."""
        return False

    @property
    def sampled_loss(self) -> str | None:
        """The name of a loss over sampled negatives; None if every item is scored."""
        return None

    @property
    def targets_per_position(self) -> int:
        """The number of next items that are learned at every position."""
        return 1

    @property
    def sets_events_share(self) -> bool:
        """True if ``events_share`` differs from its default."""
        return False

    @property
    def continues_histories(self) -> bool:
        """True if the model also learns from histories that it continued itself."""
        return False
