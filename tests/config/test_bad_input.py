"""Recipes and overrides of every broken kind end in one short line, and soon."""

import re
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.config.load import load_recipe, load_search
from seqrec.config.yaml_text import dump_yaml, parse_yaml
from seqrec.errors import MESSAGE_LETTERS, SeqRecError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
BROKEN = {
    "bomb": BOMB,
    "loop": "objective: &a [*a]",
    "deep": "[" * 5000 + "]" * 5000,
    "deep block": "".join(f"{' ' * n}a:\n" for n in range(500)),
    "deep keys": "? " * 3000 + "a",
    "key of a list": "? [x]\n: 1",
    "key of a mapping": "{[1]: 2}: 3",
    "key twice": "trainer: {seed: 1, seed: 2}\nobjective: {name: sft}",
    "object": "!!python/object/apply:os.system ['true']",
    "date of no day": "!!timestamp 2024-13-45",
    "timestamp of text": "!!timestamp nonsense",
    "integer of text": "!!int nonsense",
    "float of text": "objective: !!float x",
    "bytes": "!!binary x",
    "digits": "trainer: {seed: " + "9" * 5000 + "}\nobjective: {name: sft}",
    "number key": "1: 2\nobjective: {name: sft}",
    "null key": "~: 2\nobjective: {name: sft}",
    "empty": "",
    "tab": "\t",
    "zero byte": "a: \0",
    "long key": "x" * 100_000 + ": 1\nobjective: {name: sft}",
    "long value": f"objective: {{name: {'x' * 100_000}}}",
    "list of blocks": "objective: [{name: sft}]",
    "date": "trainer: {seed: 2024-01-01}\nobjective: {name: sft}",
}


def refusal(make):
    """The message of a refusal, which is one line of bounded length and comes soon."""
    started = time.perf_counter()
    with pytest.raises(SeqRecError) as mistake:
        make()
    assert time.perf_counter() - started < 5
    assert "\n" not in str(mistake.value) and len(str(mistake.value)) <= MESSAGE_LETTERS
    return str(mistake.value)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_recipe_ends_in_one_line(tmp_path, kind):
    file = tmp_path / "recipe.yaml"
    file.write_text(BROKEN[kind])
    assert "recipe" in refusal(lambda: load_recipe(file))
    refusal(lambda: load_search("sft", [], file))


def test_a_recipe_of_other_bytes_or_a_device_ends_in_one_line(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(b"objective: {name: sft} # \xe9")
    assert "recipe.yaml: cannot be read" in refusal(lambda: load_recipe(file))
    file.write_bytes(b"#" * (1 << 21))
    assert "2,097,152 bytes" in refusal(lambda: load_recipe(file))
    for place in ("/dev/zero", tmp_path):
        refusal(lambda: load_recipe(place))  # noqa: B023
        refusal(lambda: load_search("sft", [], place))  # noqa: B023


def test_an_alias_is_a_copy_and_merged_keys_are_read():
    text = "a: &x {seed: 1}\nb: *x\nc: {<<: *x, patience: 2}"
    value = parse_yaml(text, "text")
    assert value == {"a": {"seed": 1}, "b": {"seed": 1}, "c": {"seed": 1, "patience": 2}}
    assert value["a"] is not value["b"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
@settings(max_examples=50, deadline=None)
def test_what_is_written_as_yaml_is_read_again(value):
    assert parse_yaml(dump_yaml(value), "text") == value
    assert yaml.safe_load(dump_yaml(value)) == value


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("data.pairs", "010", "010"),
        ("data.pairs", "yes", "yes"),
        ("data.pairs", "1:30", "1:30"),
        ("data.pairs", "run #1", "run #1"),
        ("data.pairs", "[a]", "[a]"),
        ("data.pairs", "8", "8"),
        ("data.pairs", "2024-01-01", "2024-01-01"),
        ("data.pairs", "'null'", "null"),
        ("data.pairs", "a: b", "a: b"),
        ("objective.reference", "007", "007"),
        ("model.from_pretrained", "1e3", "1e3"),
        ("model.from_pretrained", "null", None),
        ("model.content", "{columns: [title]}", {"columns": ["title"]}),
        ("trainer.max_epochs", "8", 8),
        ("trainer.learning_rate", "1e-4", 1e-4),
        ("trainer.learning_rate", "1", 1.0),
        ("objective.loss.beta", ".5", 0.5),
    ],
)
def test_an_override_is_read_by_the_type_of_its_key(key, text, value):
    recipe = load_recipe("dpo", ["data.pairs=a", f"{key}={text}"]).model_dump()
    for part in key.split("."):
        recipe = recipe[part]
    if isinstance(value, dict):
        recipe = {name: recipe[name] for name in value}
    assert recipe == value and type(recipe) is type(value)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("trainer.max_epochs=010", "trainer.max_epochs: .*integer, not '010'"),
        ("trainer.max_epochs=1:30", "integer, not '1:30'"),
        ("trainer.max_epochs=yes", "integer, not 'yes'"),
        ("trainer.max_epochs=true", "integer, not True"),
        ("trainer.max_epochs=1_000", "integer, not '1_000'"),
        ("trainer.learning_rate=1:30", "number, not '1:30'"),
        ("model.causal=yes", "boolean, not 'yes'"),
        ("model.from_pretrained=", "empty; write null to unset the key"),
        ("trainer.max_epochs= ", "empty; write null to unset the key"),
        ("a..b=1", "write it as key.path=value"),
        ("[=1", "write it as key.path=value"),
        (".=1", "write it as key.path=value"),
        ("=1", "write it as key.path=value"),
        ("a" + ".a" * 5000 + "=1", "write it as key.path=value"),
        ("trainer.seed=" + "[" * 5000, "not YAML"),
        ("trainer.seed=" + "9" * 5000, "not YAML"),
        ("trainer.seed={[1]: 2}", "not YAML"),
        ("trainer=" + "x" * 2_000_000, "has more than"),
        ("model.from_pretrained=''", "at least 1"),
    ],
)
def test_an_override_of_another_type_ends_in_one_line(override, complaint):
    assert re.search(complaint, refusal(lambda: load_recipe("sft", [override])))
