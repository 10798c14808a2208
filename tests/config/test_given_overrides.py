"""Overrides in Python give the recipe that the same texts give."""

from pathlib import Path

import numpy as np
import pytest

from seqrec.config.given_overrides import format_overrides
from seqrec.config.load import load_recipe
from seqrec.errors import SeqRecError

TEXTS = [
    "trainer.max_epochs=2",
    "trainer.learning_rate=1.0e-05",
    "objective.loss={name: gbce, t: 0.75, num_negatives: 8}",
]
LOSS = {"name": "gbce", "t": np.float64(0.75), "num_negatives": np.int64(8)}


@pytest.mark.parametrize(
    "overrides",
    [
        TEXTS,
        {"trainer": {"max_epochs": 2, "learning_rate": 1e-5}, "objective": {"loss": LOSS}},
        {"trainer.max_epochs": 2, "trainer.learning_rate": 1e-5, "objective.loss": LOSS},
    ],
)
def test_texts_and_mappings_are_the_same_recipe(overrides):
    assert load_recipe("sft", format_overrides(overrides)) == load_recipe("sft", TEXTS)


def test_text_stays_text_and_a_foreign_object_is_refused():
    texts = format_overrides({"model": {"from_pretrained": Path("runs/{seed}")}, "data.pairs": "1"})
    assert texts == ["model.from_pretrained=runs/{seed}", "data.pairs='1'"]
    with pytest.raises(SeqRecError, match="model.hidden_size: a object is no setting"):
        format_overrides({"model.hidden_size": object()})
