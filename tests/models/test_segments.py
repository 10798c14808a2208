"""Packed texts and shared prompts give the states of each text alone, in every family."""

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.models.document_attention import require_document_attention
from seqrec.models.word_head import word_states

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
FAMILIES = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "qwen 3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)),
    "gemma 3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=4)),
}


def states_alone(model, tokens):
    with torch.no_grad():
        return model.get_decoder()(input_ids=tokens[None]).last_hidden_state[0]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_texts_side_by_side_do_not_read_each_other(family):
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    texts = [torch.randint(64, (length,)) for length in (9, 3, 6)]
    alone = torch.cat([states_alone(model, text) for text in texts])
    require_document_attention(model)
    places = torch.cat([torch.arange(len(text)) for text in texts])
    segments = [(0, 9, 0, 0), (9, 12, 9, 9), (12, 18, 12, 12)]
    packed = word_states(model, torch.cat(texts)[None], places[None], segments)
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_two_answers_read_one_prompt_and_not_each_other(family):
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    prompt, chosen, rejected = (torch.randint(64, (length,)) for length in (7, 5, 3))
    first = states_alone(model, torch.cat([prompt, chosen]))
    second = states_alone(model, torch.cat([prompt, rejected]))
    require_document_attention(model)
    tokens = torch.cat([prompt, chosen, rejected])
    places = torch.cat([torch.arange(12), torch.arange(7, 10)])
    segments = [(0, 7, 0, 0), (7, 12, 0, 7), (12, 15, 0, 7)]
    shared = word_states(model, tokens[None], places[None], segments)
    torch.testing.assert_close(shared[:12], first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shared[12:], second[7:], rtol=1e-4, atol=1e-5)


def test_a_frozen_head_has_no_gradient_and_changes_no_other():
    hidden = torch.randn(20, 8, requires_grad=True)
    labels = torch.randint(50, (20,))
    gradients = []
    for is_trained in (True, False):
        torch.manual_seed(1)
        weight = torch.randn(50, 8, requires_grad=is_trained)
        hidden.grad = None
        catalog_cross_entropy(hidden, weight, labels).backward()
        gradients.append(hidden.grad)
        assert (weight.grad is not None) == is_trained
    assert torch.equal(*gradients)


@torch.no_grad()
def test_answers_to_several_prompts_share_a_row_also_under_capped_logits():
    torch.manual_seed(0)
    settings = {"head_dim": 8, "sliding_window": 4, "attn_logit_softcapping": 1.0}
    config = Gemma2Config(**SIZES, **settings, attn_implementation="eager")
    model = Gemma2ForCausalLM(config).eval()
    pairs = [
        [torch.randint(64, (length,)) for length in lengths] for lengths in ((7, 5, 6), (2, 3))
    ]
    expected, parts, places, segments, end = [], [], [], [], 0
    for prompt, *answers in pairs:
        expected.append(states_alone(model, prompt))
        first, end = end, end + len(prompt)
        segments.append((first, end, first, first))
        parts.append(prompt)
        places.append(torch.arange(len(prompt)))
        for answer in answers:
            expected.append(states_alone(model, torch.cat([prompt, answer]))[len(prompt) :])
            segments.append((end, end + len(answer), first, first + len(prompt)))
            end += len(answer)
            parts.append(answer)
            places.append(len(prompt) + torch.arange(len(answer)))
    require_document_attention(model)
    found = word_states(model, torch.cat(parts)[None], torch.cat(places)[None], segments)
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-4, atol=1e-5)
