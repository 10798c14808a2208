"""Datasets of Hugging Face as logs."""

import datasets
import pytest

import seqrec
from seqrec.data.log.frames import to_lazy_frame
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError

NAMES = ("frame", "dataset")


@pytest.fixture
def log():
    return first_order_world(num_items=20, seed=0).simulate(60, 8, seed=1)


def test_a_dataset_is_prepared_as_the_frame_that_it_was_made_from(log, tmp_path):
    dataset = datasets.Dataset.from_polars(log)
    made = [
        seqrec.prepare(source, out=tmp_path / name)
        for name, source in zip(NAMES, (log, dataset), strict=True)
    ]
    one, other = ((tmp_path / name / "interactions.parquet").read_bytes() for name in NAMES)
    assert one == other and made[0]["counts"] == made[1]["counts"]


def test_rows_come_in_the_order_of_the_dataset_and_without_those_left_out(log):
    shuffled = datasets.Dataset.from_polars(log).shuffle(seed=3).select(range(50))
    found = to_lazy_frame(shuffled).collect()
    assert found["item_id"].to_list() == shuffled["item_id"][:] and len(found) == 50


def test_a_dataset_is_fitted_and_answers_a_dataset(log):
    dataset = datasets.Dataset.from_polars(log)
    quick = ["data.max_length=10", "model.hidden_size=16", "trainer.max_epochs=1"]
    rec = seqrec.fit(dataset, overrides=quick)
    lists = rec.recommend(dataset, k=3)
    assert lists.columns[:2] == ["user_id", "item_id"] and len(lists) == 3 * 60


def test_streams_and_dictionaries_of_splits_are_one_line(log):
    dataset = datasets.Dataset.from_polars(log)
    with pytest.raises(SeqRecError, match="several tables; give one of 'train', 'test'"):
        seqrec.prepare(dataset.train_test_split(), out="unused")
    with pytest.raises(SeqRecError, match="is streamed; load the dataset with streaming=False"):
        seqrec.prepare(dataset.to_iterable_dataset(), out="unused")
