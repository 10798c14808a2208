"""Labelled answers in packed rows: each once, at the end of the history that it is to."""

import numpy as np
import pytest

from seqrec.data.feedback.labels import Labels
from seqrec.data.feedback.ragged import Ragged
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.streams.base import StreamPosition
from seqrec.tokens.streams.labelled import LabelledStream
from seqrec.tokens.streams.ratings import START, rating_rows
from seqrec.tokens.tokenizer import ItemTokens

TOKENS = ItemTokens(OneTokenItems(2, 100), pad_token_id=0, unknown_token_id=1)
LEVELS = [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.fixture
def labels(generator):
    lengths = np.array([5, 0, 12, 3, 7, 1])
    total, num_answers = lengths.sum(), 30
    ratings = generator.integers(1, 6, total).astype(float)
    ratings[::3] = np.nan
    slates = generator.integers(0, 100, (num_answers, 3))
    slates[::4, 2] = -1
    return Labels(
        Ragged(generator.integers(0, 100, total), lengths),
        ratings,
        [f"u{number}" for number in range(6)],
        np.append(np.arange(6), generator.integers(0, 6, num_answers - 6)),
        slates,
        generator.random(num_answers),
        {},
    )


def test_every_answer_to_the_chosen_is_asked_once_at_its_historys_end(labels):
    chosen = np.array([0, 1, 2, 5])
    stream = LabelledStream(labels, chosen, TOKENS, levels=LEVELS, row_length=8, batch_size=2)
    asked = []
    rated = rating_rows(labels.ratings, LEVELS)
    starts, lengths = labels.histories.starts, labels.histories.lengths
    for _, batch in stream.batches(StreamPosition()):
        asked += batch.events.tolist()
        np.testing.assert_array_equal(batch.slates, labels.slates[batch.events])
        np.testing.assert_allclose(batch.labels, labels.labels[batch.events], rtol=1e-6)
        assert batch.total_weight == len(batch.events)
        for row, column, event in zip(batch.rows, batch.columns, batch.events, strict=True):
            history = labels.history_of[event]
            end = starts[history] + lengths[history]
            read = slice(max(starts[history], end - 7), end)
            of = batch.documents[row] == batch.documents[row, column]
            assert np.flatnonzero(of)[-1] == column
            items = TOKENS.encode(labels.histories.values[read]).squeeze(1)
            np.testing.assert_array_equal(batch.input_ids[row, of], [0, *items])
            np.testing.assert_array_equal(batch.ratings[row, of], [START, *rated[read]])
    expected = np.flatnonzero(np.isin(labels.history_of, chosen))
    assert sorted(asked) == expected.tolist() and stream.num_predictions.sum() == len(asked)
    in_order = np.concatenate([batch.events for batch in stream.in_order()])
    assert sorted(in_order) == sorted(asked)
