"""Vectors of items from who watched them: a truncated singular value decomposition."""

import numpy as np
from jaxtyping import Float, Int

WIDTH = 64
ITERATIONS = 3
EXTRA = 10


def factorize_interactions(
    users: Int[np.ndarray, " N"],
    items: Int[np.ndarray, " N"],
    num_users: int,
    num_items: int,
    *,
    width: int = WIDTH,
    seed: int = 0,
) -> Float[np.ndarray, "I F"]:
    """Return item vectors of the interactions' matrix, whose rows and columns are damped.

    An entry is 1 over the root of the counts of its user and item. Items without interactions get
    zeros.

    Source: Halko, Martinsson and Tropp 2011, arXiv:0909.4061, algorithms 4.4 and 5.1.
    """
    by_user = np.bincount(users, minlength=num_users).clip(1)
    by_item = np.bincount(items, minlength=num_items).clip(1)
    values = 1 / np.sqrt(by_user[users] * by_item[items])
    drawn = min(width + EXTRA, num_items, num_users)

    def multiply(
        rows: Int[np.ndarray, " N"],
        columns: Int[np.ndarray, " N"],
        matrix: Float[np.ndarray, "S F"],
        number: int,
    ) -> Float[np.ndarray, "R F"]:
        found = [
            np.bincount(rows, weights=values * column[columns], minlength=number)
            for column in matrix.T
        ]
        return np.stack(found, axis=1)

    basis = np.random.default_rng(seed).standard_normal((num_items, drawn))
    for _ in range(ITERATIONS):
        basis, _ = np.linalg.qr(multiply(users, items, basis, num_users))
        basis, _ = np.linalg.qr(multiply(items, users, basis, num_items))
    small = multiply(users, items, basis, num_users)
    _, sizes, directions = np.linalg.svd(small, full_matrices=False)
    return (basis @ directions.T * sizes)[:, :width]
