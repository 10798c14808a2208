"""The exact KL over the catalog against the definition."""

import pytest
import torch

from seqrec.losses.divergence import catalog_kl


def naive(hidden, item_weight, other, other_weight, bias=0.0, other_bias=0.0):
    log_p = (hidden @ item_weight.T + bias).log_softmax(1)
    log_q = (other @ other_weight.T + other_bias).log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1)


def example(scale=1.0, dtype=torch.float64):
    shapes = ((9, 4), (23, 4), (9, 6), (23, 6))
    return [scale * torch.randn(*shape, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("chunk_logits", [1, 40, 10**6])
@pytest.mark.parametrize("tile_items", [5, 100])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_kl_equals_the_definition_whatever_is_held_at_once(
    chunk_logits, tile_items, scale, monkeypatch
):
    monkeypatch.setattr("seqrec.losses.divergence.TILE_ITEMS", tile_items)
    inputs = example(scale)
    torch.testing.assert_close(catalog_kl(*inputs, chunk_logits=chunk_logits), naive(*inputs))


def test_biases_are_part_of_the_logits():
    inputs = example()
    bias, other_bias = torch.randn(2, 9, 23, dtype=torch.float64)
    found = catalog_kl(
        *inputs,
        logit_bias=lambda rows, tile: bias[rows, tile],
        reference_logit_bias=lambda rows, tile: other_bias[rows, tile],
        chunk_logits=30,
    )
    torch.testing.assert_close(found, naive(*inputs, bias, other_bias))


def test_a_model_is_not_apart_from_itself_and_no_rows_have_no_kl():
    hidden, weight, *_ = example(dtype=torch.float32)
    found = catalog_kl(hidden, weight, hidden, weight)
    torch.testing.assert_close(found, torch.zeros(9))
    assert len(catalog_kl(hidden[:0], weight, hidden[:0], weight)) == 0
