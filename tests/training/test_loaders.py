"""Items made in the background: the same ones, their errors, and no thread left behind."""

import threading
import time

import pytest

from seqrec.training.loaders import in_background


def threads():
    return [t for t in threading.enumerate() if t.name == "seqrec-packing"]


@pytest.mark.parametrize("num_ahead", [1, 3, 100])
def test_the_items_come_in_their_order(num_ahead):
    assert list(in_background(iter(range(50)), num_ahead)) == list(range(50))
    assert not threads()


def test_an_error_is_raised_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("broken")

    found = in_background(items(), 4)
    assert next(found) == 1
    with pytest.raises(ValueError, match="broken"):
        next(found)
    assert not threads()


def test_no_more_is_made_than_was_asked_and_the_thread_ends_with_its_reader():
    made = []
    found = in_background((made.append(i) or i for i in range(1000)), 2)
    assert next(found) == 0
    time.sleep(0.2)
    assert len(made) <= 4
    found.close()
    assert not threads()
