"""Vectors made from neighbours, against a dense factorisation."""

import numpy as np
import torch

from seqrec.models.initial import CONTEXT_POWER, association_vectors


def dense_association(counts):
    both = counts + counts.T
    total = both.sum(axis=1)
    smoothed = total**CONTEXT_POWER
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = both * smoothed.sum() / (total[:, None] * smoothed)
    return np.maximum(np.log(np.where(both > 0, ratio, 1)), 0)


def test_products_approach_the_association_of_a_dense_factorisation(generator):
    counts = generator.poisson(1.0, (30, 30)).astype(float)
    counts[:, 7] = counts[7] = 0
    source, target = counts.nonzero()
    first_edge = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=30))])
    vectors = association_vectors(first_edge, target, counts[source, target], 8)
    left, singular, _ = np.linalg.svd(dense_association(counts))
    wanted = left[:, :8] * np.sqrt(singular[:8])
    wanted = wanted @ wanted.T
    found = (vectors @ vectors.T).double().numpy()
    assert vectors[7].abs().max() < 1e-6
    np.testing.assert_allclose(found / found.std(), wanted / wanted.std(), atol=0.05)
    torch.testing.assert_close(vectors.std(), torch.ones(()))


def test_a_catalog_smaller_than_the_width_fills_what_it_can():
    vectors = association_vectors(np.array([0, 1, 2]), np.array([1, 0]), np.ones(2), 5)
    assert vectors.shape == (2, 5) and vectors.isfinite().all()
