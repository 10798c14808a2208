"""A configuration that its weights contradict is refused before memory is taken for a model."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from seqrec.errors import SeqRecError
from seqrec.models.folder import load_model
from seqrec.models.weights import WEIGHTS_FILE
from seqrec.models.weights_check import check_sizes
from seqrec.ranking.recommender import Recommender
from tests.conftest import save_small_model


@pytest.fixture
def folder(tmp_path):
    return save_small_model(tmp_path / "model")


def rewrite_config(folder, changes):
    """Set dotted keys of ``config.json``."""
    file = folder / "config.json"
    fields = json.loads(file.read_text())
    for key, value in changes.items():
        *blocks, name = key.split(".")
        block = fields
        for part in blocks:
            block = block[part]
        block[name] = value
    file.write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"backbone_config.num_hidden_layers": 10**6}, "num_hidden_layers 1e+06: the weights have"),
        ({"backbone_config.hidden_size": 2**40}, "hidden_size 1.1e+12: the weights have no such"),
        ({"max_length": -(2**40)}, "max_length -1.1e+12: the weights have no such size"),
        ({"num_items": 1e300}, "num_items 1e+300: the weights have no such size"),
        ({"backbone_config.hidden_size": 64}, "has shape (128, 32), but config.json needs"),
        ({"backbone_config.num_hidden_layers": 1}, "but config.json needs none"),
        ({"backbone_config.num_hidden_layers": 3}, "has shape none, but config.json needs"),
        ({"backbone_config.vocab_size": "128"}, "vocab_size"),
        ({"causal": "yes"}, "causal"),
        ({"first_item_token": -1}, "num_items 100 from first_item_token -1: the vocabulary"),
        (
            {"first_item_token": 29},
            "num_items 100 from first_item_token 29: the vocabulary",
        ),
        ({"num_items": 0}, "num_items 0 from first_item_token 2"),
    ],
)
def test_a_changed_configuration_is_refused_in_one_line(folder, changes, complaint):
    rewrite_config(folder, changes)
    with pytest.raises(SeqRecError, match=re.escape(complaint)) as mistake:
        load_model(folder)
    assert "\n" not in str(mistake.value) and str(folder) in str(mistake.value)


def test_items_shifted_by_a_token_are_refused_since_scores_would_be_those_of_neighbours(folder):
    Recommender.from_pretrained(folder)
    rewrite_config(folder, {"first_item_token": 3})
    with pytest.raises(SeqRecError, match="first_token=3, .*its tokenizer .*first_token=2"):
        Recommender.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda weights: weights.pop("backbone.norm.weight"),
            "backbone.norm.weight has shape none",
        ),
        (lambda weights: weights.update(extra=torch.zeros(3)), "extra has shape (3,), but"),
        (
            lambda weights: weights.update({"backbone.norm.weight": torch.zeros(31)}),
            "backbone.norm.weight has shape (31,), but config.json needs (32,)",
        ),
        *(
            (
                lambda weights, dtype=dtype: weights.update(
                    {"backbone.norm.weight": torch.ones(32, dtype=dtype)}
                ),
                f"backbone.norm.weight holds numbers of {str(dtype)[6:]}, not of float32",
            )
            for dtype in (torch.complex64, torch.int32)
        ),
    ],
)
def test_other_weights_than_the_configuration_names_are_refused(folder, change, complaint):
    weights = load_file(folder / WEIGHTS_FILE)
    change(weights)
    save_file(weights, folder / WEIGHTS_FILE, {"format": "pt"})
    with pytest.raises(SeqRecError, match=re.escape(complaint)):
        load_model(folder)


def test_numbers_up_to_the_limit_are_left_to_the_comparison_of_shapes(tmp_path):
    check_sizes({"num_members": 2, "part": {"width": 2**31, "names": ["x"]}}, 2, tmp_path)
    with pytest.raises(SeqRecError, match="num_members 3"):
        check_sizes({"part": {"num_members": 3}}, 2, tmp_path)


def test_negative_factors_are_refused_at_any_depth(tmp_path):
    """The root of a negative scale is complex, and a negative smoothing gives NaN."""
    for fields in ({"cosine_scale": -1}, {"transition_prior": {"smoothing": -0.5}}):
        with pytest.raises(SeqRecError, match="is below 0; copy the folder again"):
            check_sizes(fields, 9, tmp_path)
    check_sizes({"cosine_scale": 20, "transition_prior": {"strength": -1.0}}, 9, tmp_path)
