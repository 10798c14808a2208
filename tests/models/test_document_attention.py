import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM

from seqrec.models.document_attention import (
    attends_by_document,
    flatten_documents,
    use_document_attention,
)
from seqrec.models.document_kernel import IMPLEMENTATION, document_attention
from tests.families import FAMILIES, SIZES, tiny_model

DOCUMENTS = torch.tensor([[1] * 21 + [2] * 3 + [3] * 20 + [0] * 4, [1] * 1 + [5] * 47])
GEMMA2 = {
    "model_type": "gemma2",
    "head_dim": 8,
    "sliding_window": 8,
    "attn_logit_softcapping": 2.0,
    **SIZES,
}


@pytest.fixture(params=[*FAMILIES, "gemma2"])
def model(request):
    """A decoder of each family; Gemma 2's caps its logits."""
    if request.param != "gemma2":
        return tiny_model(request.param)
    fields = {name: value for name, value in GEMMA2.items() if name != "model_type"}
    config = AutoConfig.for_model("gemma2", vocab_size=320, **fields)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    return model.eval()


def run_packed(model, tokens, documents):
    """Logits of the real positions of packed rows, in order."""
    assert use_document_attention(model) and attends_by_document(model)
    flat = flatten_documents(documents, model)
    return model(input_ids=tokens.flatten()[flat.positions][None], **flat.arguments).logits[0]


def run_alone(model, tokens, documents):
    """The same logits with every document in a row of its own, by transformers' own attention."""
    parts = []
    for row, owners in zip(tokens, documents, strict=True):
        for document in owners[owners > 0].unique():
            parts.append(model(input_ids=row[owners == document][None], use_cache=False).logits[0])
    return torch.cat(parts)


def test_packed_rows_equal_documents_alone(model):
    tokens = torch.randint(5, 300, DOCUMENTS.shape)
    expected = run_alone(model, tokens, DOCUMENTS)
    torch.testing.assert_close(run_packed(model, tokens, DOCUMENTS), expected, atol=1e-5, rtol=1e-4)


def gradients(model, logits):
    model.zero_grad()
    F.cross_entropy(logits, torch.arange(len(logits)) % 300).backward()
    return {
        name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None
    }


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_gradients_are_those_of_documents_alone(model, is_checkpointed):
    model.train()
    tokens = torch.randint(5, 300, DOCUMENTS.shape)
    expected = gradients(model, run_alone(model, tokens, DOCUMENTS))
    if is_checkpointed:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    found = gradients(model, run_packed(model, tokens, DOCUMENTS))
    assert found.keys() == expected.keys() and found
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)


class LargestTensor(TorchDispatchMode):
    """Records the number of values in the largest tensor that an operation returns."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else (result,):
            if isinstance(one, torch.Tensor):
                self.values = max(self.values, one.numel())
        return result


@pytest.mark.parametrize("family", FAMILIES)
def test_long_rows_hold_no_square_of_their_length(family):
    model, length = tiny_model(family).train(), 2048
    documents = torch.tensor([[1] * length, [1] * 1500 + [2] * 548])
    tokens = torch.randint(5, 300, documents.shape)
    with LargestTensor() as largest:
        run_packed(model, tokens, documents).logsumexp(dim=1).mean().backward()
    assert 2 * length * 320 <= largest.values < length * length


def test_many_documents_share_few_calls(monkeypatch):
    model, calls = tiny_model("llama"), []
    own = F.scaled_dot_product_attention

    def count(*args, **kwargs):
        calls.append(args[0].shape[2])
        return own(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", count)
    documents = torch.cat([torch.full((n,), n) for n in range(1, 120)])[None]
    run_packed(model, torch.randint(5, 300, documents.shape), documents)
    assert len(calls) <= 2 * 24 and max(calls) <= 128


def test_without_boundaries_it_is_the_attention_of_transformers():
    model, tokens = tiny_model("mistral"), torch.randint(5, 300, (2, 12))
    mask = torch.tensor([[1] * 12, [0] * 5 + [1] * 7])
    plain = model(input_ids=tokens, attention_mask=mask).logits
    assert use_document_attention(model)
    assert torch.equal(model(input_ids=tokens, attention_mask=mask).logits, plain)
    prompt = {"input_ids": tokens, "attention_mask": mask, "pad_token_id": 0}
    answer = model.generate(**prompt, max_new_tokens=6, do_sample=False)
    model.set_attn_implementation("sdpa")
    assert torch.equal(answer, model.generate(**prompt, max_new_tokens=6, do_sample=False))


def test_the_implementation_is_not_part_of_a_saved_model(tmp_path):
    model = tiny_model("llama")
    use_document_attention(model)
    model.save_pretrained(tmp_path)
    assert IMPLEMENTATION not in (tmp_path / "config.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "fields",
    [
        {"layer_types": ["full_attention", "chunked_attention"]},
        {"use_bidirectional_attention": True},
        {"is_causal": False},
    ],
)
def test_decoders_with_other_masks_keep_them(fields):
    model = tiny_model("llama")
    for name, value in fields.items():
        setattr(model.config, name, value)
    assert not use_document_attention(model)
    assert not attends_by_document(model)


@pytest.mark.parametrize("extra", ["s_aux", "position_bias"])
def test_sinks_and_position_biases_are_refused(extra):
    parts = [torch.zeros(1, 2, 4, 8)] * 3
    bounds = torch.tensor([0, 4])
    with pytest.raises(ValueError, match=extra):
        document_attention(None, *parts, None, cu_seq_lens_q=bounds, **{extra: torch.zeros(2)})


def test_flash_attention_gets_the_same_arguments_without_a_mask():
    model = tiny_model("llama")
    model.config._attn_implementation = "flash_attention_2"
    flat = flatten_documents(DOCUMENTS, model)
    assert flat.arguments["attention_mask"] is None
    assert flat.arguments["cu_seq_lens_q"].tolist() == [0, 21, 24, 44, 45, 92]
    assert flat.arguments["cu_seq_lens_q"].dtype == torch.int32
    assert flat.arguments["max_length_k"] == 47
    assert flat.positions.tolist() == [*range(44), *range(48, 96)]


@pytest.mark.parametrize("scaling", [None, 0.25])
def test_short_documents_in_bfloat16_are_as_near_the_truth_as_their_inputs(scaling):
    lengths, heads, groups, width = [5, 30, 7, 64], 4, 2, 16
    bounds = torch.tensor([0, *lengths]).cumsum(0)
    shapes = [(1, heads, 106, width), *[(1, heads // groups, 106, width)] * 2]
    rounded = [torch.randn(shape).bfloat16() for shape in shapes]
    found = [part.clone().requires_grad_() for part in rounded]
    exact = [part.double().requires_grad_() for part in rounded]
    output, _ = document_attention(None, *found, None, scaling=scaling, cu_seq_lens_q=bounds)
    upstream = torch.randn(output.shape).bfloat16()
    output.backward(upstream)
    query, key, value = (
        part[0] if number == 0 else part[0].repeat_interleave(groups, dim=0)
        for number, part in enumerate(exact)
    )
    owner = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths))
    hidden = (owner != owner[:, None]) | torch.ones(106, 106, dtype=torch.bool).triu(1)
    scores = query @ key.transpose(1, 2) * (scaling or width**-0.5)
    truth = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1) @ value
    truth.transpose(0, 1)[None].backward(upstream.double())
    torch.testing.assert_close(output.double(), truth.transpose(0, 1)[None], atol=0.03, rtol=0.02)
    for mine, theirs in zip(found, exact, strict=True):
        torch.testing.assert_close(mine.grad.double(), theirs.grad, atol=0.08, rtol=0.05)
