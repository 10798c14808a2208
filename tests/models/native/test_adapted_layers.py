"""Layers that others replaced, by adapters or in int8: every way to a state calls them."""

import copy
import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from seqrec.models import SeqRecForNextItem
from tests.conftest import small_config

FUSED = {"sasrec": "qkv_proj", "llama": "qkv_proj", "hstu": "uvqk_proj"}
TOKENS = torch.tensor([[3, 4, 5, 6, 7], [9, 8, 7, 6, 5]])
DOCUMENTS = torch.ones_like(TOKENS)


def adapt(model: SeqRecForNextItem, block: str) -> SeqRecForNextItem:
    """Add LoRA adapters to all layers of the decoder; their weights are not zero."""
    layers = [FUSED[block], "o_proj", *("up_proj", "down_proj") * (block == "sasrec")]
    lora = LoraConfig(r=4, target_modules=layers, init_lora_weights=False)
    return get_peft_model(copy.deepcopy(model), lora).eval().base_model.model


def quantise(model: SeqRecForNextItem, block: str) -> SeqRecForNextItem:
    """Replace all linear layers by int8 ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


@pytest.mark.parametrize("block", FUSED)
@pytest.mark.parametrize("change", [adapt, quantise])
@torch.no_grad()
def test_the_state_after_a_history_is_that_of_its_last_position(block, change):
    plain = SeqRecForNextItem(small_config(block)).eval()
    changed = change(plain, block)
    states = [model.hidden_states(TOKENS, DOCUMENTS) for model in (plain, changed)]
    after = [model.document_states(TOKENS, DOCUMENTS) for model in (plain, changed)]
    assert (states[0] - states[1]).abs().max() > 1e-3
    torch.testing.assert_close(after[0], states[0][:, -1], rtol=1e-5, atol=1e-5)
    # int8 scales the inputs of a layer by their largest, which depends on what is computed
    tolerance = 1e-5 if change is adapt else 0.05 * float(states[1].abs().max())
    torch.testing.assert_close(after[1], states[1][:, -1], rtol=0, atol=tolerance)
