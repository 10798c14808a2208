"""The graph of every kind of decoder, run by ONNX Runtime, against the model's own states."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig

from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.content import ContentEmbedding
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.native.time_bias import EDGES, gap_buckets
from seqrec.onnx.graph import HistoryGraph, write_graph
from seqrec.onnx.session import open_session
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.times import NO_TIME
from tests.conftest import small_config
from tests.tokens.conftest import feature


def build_model(kind: str) -> SeqRecForNextItem:
    """A model of one kind with random weights, biases included."""
    block = kind if kind in ("sasrec", "hstu") else "llama"
    heads = {"sasrec": "untied", "projected": "projected"}
    config = small_config(block, heads.get(kind, "tied"))
    backbone = config.backbone_config
    backbone.num_hidden_layers, backbone.relative_bias = 1, kind in ("llama", "hstu")
    if kind == "llama":
        backbone.gated_residual, config.cosine_scale = True, 20.0
    if kind == "sasrec":
        config.causal = False
    if kind == "hstu":
        backbone.time_bias = "past_times"
    if kind == "ensemble of time biases":
        backbone.time_bias = "target_time"
        config.backbone_config = EnsembleConfig(member_config=backbone, num_members=2)
    if kind in ("content", "members with content"):
        config.content = {"content_width": 5}
    if kind == "members with content":
        config.cosine_scale = 20.0
        config.backbone_config = EnsembleConfig(member_config=backbone, num_members=2)
    if kind == "projected":
        config.head_size = 8
    if kind == "sums":
        grammar = Grammar((feature("rating"), feature("wanted", place="before")))
        config.events, config.event_vectors = grammar.to_dict(), "sum"
    if kind == "transformers' Llama":
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
        config.backbone_config = LlamaConfig(vocab_size=128, num_attention_heads=2, **sizes)
    model = SeqRecForNextItem(config).eval()
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter)
    tokens = model.get_input_embeddings()
    if isinstance(tokens, ContentEmbedding):
        tokens.load_content(torch.randn(100, 5), torch.arange(100) % 4)
        torch.nn.init.normal_(tokens.proj_of_new.weight)
    return model


KINDS = [
    "llama",
    "sasrec",
    "hstu",
    "ensemble of time biases",
    "content",
    "members with content",
    "projected",
    "sums",
    "transformers' Llama",
]


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_the_models_for_any_number_of_histories_of_any_length(kind, tmp_path):
    model = build_model(kind)
    (file,) = write_graph(model, tmp_path / "decoder.onnx")
    session = open_session(file)
    size, has_times = model.config.tokens_per_event, model.config.time_bias is not None
    for num_histories, longest in ((1, 1), (1, 16), (5, 9)):
        lengths = size * torch.randint(1, longest + 1, (num_histories,))
        lengths[-1] = size * longest
        mask = (torch.arange(size * longest) < lengths[:, None]).long()
        input_ids = torch.randint(2, 102, mask.shape) * mask
        times = torch.randint(0, 10**15, (*mask.shape, 2)).masked_fill(
            mask[..., None] == 0, NO_TIME
        )
        times[0, 0, 1] = NO_TIME
        inputs = {"input_ids": input_ids, "attention_mask": mask}
        inputs |= {"times": times} if has_times else {}
        (states,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        with torch.no_grad():
            hidden = model.hidden_states(input_ids, mask, times if has_times else None)
        expected = hidden[torch.arange(num_histories), lengths - 1]
        np.testing.assert_allclose(states, expected.numpy(), atol=1e-5)


def test_gaps_are_bisected_to_the_buckets_of_the_time_bias():
    model = build_model("hstu")
    edges = torch.tensor([0, 1, *EDGES, 2**62])
    query = torch.cat([edges, edges - 1, edges + 1, torch.tensor([NO_TIME])])
    times = torch.stack([torch.zeros_like(query), query], dim=1)[None]
    assert torch.equal(HistoryGraph(model)._find_gaps(times).int(), gap_buckets(times).int())


def test_a_decoder_that_cannot_be_written_is_refused_by_its_type(tmp_path):
    class Stubborn(torch.nn.Module):
        def forward(self, **inputs):
            raise RuntimeError("depends on data\nin many lines")

    model = build_model("transformers' Llama")
    model.backbone.forward = Stubborn().forward
    with pytest.raises(SeqRecError, match="^--to onnx: a backbone of type llama cannot be written"):
        write_graph(model, tmp_path / "decoder.onnx")
