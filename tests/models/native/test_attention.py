"""Attention and dropout against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from seqrec.models import SeqRecForNextItem
from seqrec.models.documents import document_mask, document_positions
from seqrec.models.native.attention import RelativeBias, attend
from seqrec.models.native.blocks import Dropout
from tests.conftest import small_config


def result_and_gradient(attention, qkv, mask, upstream):
    qkv = qkv.detach().clone().requires_grad_()
    mixed = attention(qkv, mask)
    mixed.backward(upstream.to(mixed.dtype))
    return mixed.detach(), qkv.grad


def plain(qkv, mask):
    query, key, value = qkv.unbind(0)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + mask
    return scores.softmax(-1) @ value


@pytest.mark.parametrize("scale", [1, 10])
def test_whole_attention_is_as_near_to_the_truth_as_plain_bfloat16(scale):
    documents = torch.tensor([[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 1, 1]])
    qkv, upstream = scale * torch.randn(3, 2, 4, 6, 8), torch.randn(2, 4, 6, 8)
    qkv = qkv.bfloat16()
    truth = result_and_gradient(
        plain, qkv.double(), document_mask(documents, torch.float64), upstream
    )
    mask = document_mask(documents, torch.bfloat16)
    naive = result_and_gradient(plain, qkv, mask, upstream)
    ours = result_and_gradient(attend, qkv, mask, upstream)
    for exact, one, other in zip(truth, naive, ours, strict=True):
        naive_error = (one.double() - exact).abs().max()
        assert (other.double() - exact).abs().max() <= 2 * naive_error


def test_a_bias_is_added_to_the_logits_and_gets_their_gradient():
    documents = torch.tensor([[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 1, 1]])
    qkv, upstream = torch.randn(3, 2, 4, 6, 8).bfloat16(), torch.randn(2, 4, 6, 8)
    table = RelativeBias(4, 6)
    torch.nn.init.normal_(table.weight)
    gradients = []
    for dtype in (torch.bfloat16, torch.float64):
        table.weight.grad = None
        mask = document_mask(documents, dtype)
        attend(qkv.to(dtype), mask, table(6).to(dtype)).backward(upstream.to(dtype))
        gradients.append(table.weight.grad)
    torch.testing.assert_close(*gradients, atol=0.05, rtol=0.05)
    bias = table(6).double()
    assert bias[1, 5, 2] == table.weight[1, 3] and bias[1, 2, 5] == table.weight[1, 0]
    mask = document_mask(documents, torch.float64)
    query, key, value = qkv.double().unbind(0)
    scores = query @ key.transpose(-1, -2) * 8**-0.5 + mask + bias
    found = attend(qkv.double(), mask, bias)
    torch.testing.assert_close(found, scores.softmax(-1) @ value)


def test_whole_attention_answers_as_the_fused_kernel_does():
    documents = torch.tensor([[1] * 5 + [2] * 9])
    qkv = torch.randn(3, 1, 2, 14, 16).bfloat16()
    mask = document_mask(documents, torch.bfloat16)
    fused = F.scaled_dot_product_attention(*qkv.unbind(0), attn_mask=mask)
    torch.testing.assert_close(attend(qkv, mask), fused, atol=0.02, rtol=0.02)


def test_dropout_drops_its_share_keeps_the_mean_and_rests_in_evaluation():
    dropout, x = Dropout(0.3), torch.ones(1000, 101)
    dropped = dropout(x)
    noise = 4 * (0.3 * 0.7 / x.numel()) ** 0.5
    assert abs(float((dropped == 0).float().mean()) - 0.3) < noise
    torch.testing.assert_close(
        dropped[dropped != 0].unique(), torch.tensor([1 / 0.7]), rtol=1e-4, atol=0
    )
    neighbours = (dropped[:, 1:] == 0) == (dropped[:, :-1] == 0)
    assert abs(float(neighbours.float().mean()) - (0.09 + 0.49)) < 2 * noise
    assert dropout.eval()(x) is x and Dropout(0.0)(x) is x


def test_dropout_gives_the_gradient_of_what_it_kept():
    x = torch.ones(50, 7, requires_grad=True)
    dropped = Dropout(0.5)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())


class Adapter(torch.nn.Module):
    """A layer around another, as adapters and quantised layers are; it counts its calls."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.num_calls = layer, 0
        self.shift = torch.nn.Parameter(torch.randn(layer.out_features))

    def forward(self, hidden):
        self.num_calls += 1
        return self.layer(hidden) + self.shift


def with_adapters(model):
    """Replace every linear layer; answers the adapters."""
    found = []
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is torch.nn.Linear:
                found.append(Adapter(layer))
                setattr(module, name, found[-1])
    return found


@pytest.mark.parametrize("block", ["llama", "sasrec", "hstu"])
def test_layers_are_called_on_every_path(block):
    """Adapters work in serving, in training and where slates share a history."""
    model = SeqRecForNextItem(small_config(block)).eval()
    adapters = with_adapters(model)
    assert adapters
    tokens = torch.randint(2, 100, (2, 6))
    documents = torch.tensor([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 1, 0]])
    ends = torch.tensor([[2, 5], [4, 4]])
    states = model.hidden_states(tokens, documents)
    attention_mask = (documents[:, :, None] == documents[:, None]).tril()
    positions = document_positions(documents)
    paths = {
        "serving": lambda: model.document_states(tokens, documents),
        "slates": lambda: model.states_under(tokens, attention_mask, positions, ends),
    }
    expected = {"serving": states[[0, 0, 1], [2, 5, 4]], "slates": states[[[0], [1]], ends]}
    for name, path in paths.items():
        for adapter in adapters:
            adapter.num_calls = 0
        torch.testing.assert_close(path(), expected[name])
        assert all(adapter.num_calls == 1 for adapter in adapters), name


def test_a_hook_of_a_layer_sees_it_where_some_positions_are_read():
    model, seen = SeqRecForNextItem(small_config()).eval(), []
    layer = model.backbone.layers[-1].attention.qkv_proj
    tokens, documents = torch.randint(2, 100, (1, 5)), torch.ones(1, 5).long()
    before = model.document_states(tokens, documents)
    layer.register_forward_hook(lambda *call: seen.append(call))
    torch.testing.assert_close(model.document_states(tokens, documents), before)
    assert len(seen) == 1
