"""Every number of a recipe has a largest value, and a slip beyond it ends in one line."""

from typing import get_args

import pytest
from annotated_types import Le, Lt

from seqrec.config.block import Block
from seqrec.config.load import load_recipe
from seqrec.config.recipe import Recipe
from seqrec.errors import SeqRecError


def blocks_within(annotation):
    if isinstance(annotation, type) and issubclass(annotation, Block):
        yield annotation
        for field in annotation.model_fields.values():
            yield from blocks_within(field.annotation)
    for part in get_args(annotation):
        yield from blocks_within(part)


def numbers_of_recipes():
    for block in set(blocks_within(Recipe)):
        for key, field in block.model_fields.items():
            if {int, float} & {field.annotation, *get_args(field.annotation)}:
                yield f"{block.__name__}.{key}", field


def test_every_number_of_a_recipe_has_a_largest_value():
    numbers = dict(numbers_of_recipes())
    assert len(numbers) > 60
    endless = {
        name
        for name, field in numbers.items()
        if not any(isinstance(bound, Le | Lt) for bound in field.metadata)
    }
    assert not endless


@pytest.mark.parametrize(
    ("recipe", "override"),
    [
        ("sft", "data.batch_size=9223372036854775808"),
        ("sft", "data.max_length=4294967296"),
        ("sft", "trainer.weight_decay=1e38"),
        ("sft", "trainer.warmup_steps=4294967296"),
        ("sft", "trainer.learning_rate=1e30"),
        ("sft", "trainer.max_epochs=9223372036854775807"),
        ("sft", "trainer.selection_metric=ndcg@9223372036854775808"),
        ("sft", "model.hidden_size=4294967296"),
        ("sft", "objective.loss={name: gbce, num_negatives: 4294967296}"),
        ("grpo", "objective.num_prompts=4294967296"),
        ("grpo", "objective.guard.metric=ndcg@9223372036854775808"),
        ("grpo", "objective.slates.temperature=1e300"),
    ],
)
def test_a_slip_of_the_keyboard_is_refused_with_its_key(recipe, override):
    key = override.partition("=")[0]
    with pytest.raises(SeqRecError, match=key) as mistake:
        load_recipe(recipe, [override])
    line = str(mistake.value)
    assert "\n" not in line and len(line) < 300
