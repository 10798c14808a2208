"""Build the packed training batches of the log from a recipe's data block."""

from functools import partial

from seqrec.config.data import ReplayConfig
from seqrec.config.recipe import Recipe
from seqrec.data.prepared import PreparedData
from seqrec.data.split_dates import parse_date
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.log import event_blocks
from seqrec.tokens.events.times import TIME_COLUMN
from seqrec.tokens.streams.log import PackedStream
from seqrec.tokens.streams.replay import Replay
from seqrec.tokens.streams.windows import training_windows
from seqrec.tokens.tokenizer import ItemTokens


def build_stream(
    recipe: Recipe,
    prepared: PreparedData,
    tokens: ItemTokens,
    rank: int,
    *,
    weight: str | None = None,
    events: EventTokens | None = None,
    has_sources: bool = False,
) -> PackedStream:
    """Build the packed training batches of one of the run's processes.

    Args:
        recipe: recipe of the run.
        prepared: the data.
        tokens: tokens of the items.
        rank: rank of this process.
        weight: column of the targets' weights; None: all count the same.
        events: the event grammar, if the model reads one.
        has_sources: add the log row of each position to the batches.
    """
    data = recipe.data
    columns = [weight] if weight else []
    replay = None
    if data.replay is not None:
        columns.append(TIME_COLUMN)
        replay = build_replay(data.replay, recipe.trainer.seed)
    blocks = prepared.blocks(columns)
    if events is not None:
        blocks = event_blocks(prepared, events.grammar, *columns)
    return PackedStream(
        blocks,
        tokens,
        partial(
            training_windows, max_length=data.max_length, which=data.windows, stride=data.stride
        ),
        weight=weight,
        row_length=data.max_length,
        batch_size=data.batch_size,
        pool_rows=data.pool_rows,
        ignore_index=IGNORE_INDEX,
        seed=recipe.trainer.seed,
        rank=rank,
        num_ranks=recipe.trainer.devices,
        events=events,
        has_sources=has_sources,
        replay=replay,
    )


def build_replay(config: ReplayConfig, seed: int) -> Replay:
    """Return which windows of a grown log are trained on.

    Raises:
        SeqRecError: ``since`` is no date.
    """
    since = parse_date(config.since, "data.replay.since").timestamp()
    return Replay(round(since * 1e6), config.share, seed)
