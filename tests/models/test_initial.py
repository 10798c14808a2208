"""Vectors made from neighbours, against a dense factorisation."""

import numpy as np
import torch

from seqrec.models.initial import (
    CONTEXT_POWER,
    RATING_SMOOTHING,
    association_vectors,
    rating_vectors,
)


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


def test_products_approach_what_remains_of_ratings_in_a_dense_factorisation(generator):
    """Residuals by loops, as a matrix of items by users in float64."""
    ratings = generator.integers(1, 6, (30, 20)).astype(float)
    ratings[generator.random((30, 20)) < 0.4] = np.nan
    ratings[7] = np.nan
    rest = ratings - np.nanmean(ratings)
    for rows in (rest, rest.T):  # items, then users
        for row in rows:
            rated = ~np.isnan(row)
            row[rated] -= row[rated].sum() / (rated.sum() + RATING_SMOOTHING)
    left, singular, _ = np.linalg.svd(np.nan_to_num(rest), full_matrices=False)
    wanted = left[:, :8] * np.sqrt(singular[:8])
    wanted = wanted @ wanted.T
    items, users = np.nonzero(~np.isnan(ratings))
    vectors = rating_vectors(items, users, ratings[items, users], 30, 8)
    found = (vectors @ vectors.T).double().numpy()
    assert vectors[7].abs().max() < 1e-6
    np.testing.assert_allclose(found / found.std(), wanted / wanted.std(), atol=0.05)
    torch.testing.assert_close(vectors.std(), torch.ones(()))


def test_without_ratings_there_is_nothing_to_start_from():
    nothing = np.empty(0, dtype=np.int64)
    assert not rating_vectors(nothing, nothing, nothing.astype(float), 3, 2).any()


def test_a_catalog_smaller_than_the_width_fills_what_it_can():
    vectors = association_vectors(np.array([0, 1, 2]), np.array([1, 0]), np.ones(2), 5)
    assert vectors.shape == (2, 5) and vectors.isfinite().all()
