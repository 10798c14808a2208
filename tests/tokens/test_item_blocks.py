"""Items as blocks of tokens: NumPy and torch alike, and back again."""

import numpy as np
import torch

from seqrec.tokens.item_blocks import OneTokenItems, event_block_size

BLOCKS = OneTokenItems(first_token=2, num_items=5)


def test_arrays_and_tensors_are_encoded_alike_and_decoded_to_the_same_items():
    items = np.array([[0, 4], [3, 1]])
    tokens = BLOCKS.encode(items)
    assert tokens.tolist() == [[[2], [6]], [[5], [3]]]
    assert torch.equal(BLOCKS.encode(torch.from_numpy(items)), torch.from_numpy(tokens))
    np.testing.assert_array_equal(BLOCKS.decode(tokens), items)
    assert torch.equal(BLOCKS.decode(torch.from_numpy(tokens)), torch.from_numpy(items))


def test_tokens_of_no_item_are_decoded_to_minus_one():
    tokens = np.arange(10)[:, None]
    expected = [-1, -1, 0, 1, 2, 3, 4, -1, -1, -1]
    assert BLOCKS.decode(tokens).tolist() == expected
    assert BLOCKS.decode(torch.from_numpy(tokens)).tolist() == expected


def test_the_next_item_is_predicted_at_the_last_token_of_a_block():
    assert BLOCKS.last_position(np.arange(3)).tolist() == [0, 1, 2]

    class ThreeTokenItems(OneTokenItems):
        length = 3

    assert ThreeTokenItems(2, 5).last_position(np.arange(3)).tolist() == [2, 5, 8]


def test_an_event_has_the_tokens_of_its_item_and_one_for_every_feature():
    assert event_block_size(1, 0) == 1 and event_block_size(4, 3) == 7
