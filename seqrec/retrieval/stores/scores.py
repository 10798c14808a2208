"""Products of vectors from what each store calls distance or score."""

from enum import Enum


class Measure(Enum):
    """The number that a store returns for a found item, as a function of the inner product."""

    PRODUCT = "product"
    NEGATIVE_PRODUCT = "-product"
    ONE_MINUS_PRODUCT = "1 - product"

    def to_product(self, value: float) -> float:
        """Return the inner product, which is seqrec's score: larger is better."""
        if self is Measure.PRODUCT:
            return value
        return -value if self is Measure.NEGATIVE_PRODUCT else 1.0 - value
