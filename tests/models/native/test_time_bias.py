"""Time biases: buckets by whole numbers, attention by a float64 reference, packing, causality."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.documents import document_mask
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.folder import load_model
from seqrec.models.native.attention import RelativeBias, attend
from seqrec.models.native.llama_weights import to_llama
from seqrec.models.native.time_bias import NUM_GAPS, UNKNOWN_GAP, TimeBias, gap_buckets
from seqrec.tokens.events.times import NO_TIME
from tests.conftest import small_config

NOW = 1_700_000_000_123_456
SECOND, DAY = 1_000_000, 86_400_000_000
DOCUMENTS = torch.tensor([[1] * 4 + [2] * 7 + [3] * 3 + [0] * 2, [1] * 16])


def by_whole_numbers(gap: int) -> int:
    """The greatest step whose square root of two powers, less one, is no more than the seconds."""
    return max(
        step
        for step in range(NUM_GAPS)
        if 2**step * SECOND**2 <= (SECOND + max(gap, 0)) ** 2 or not step
    )


def brute_force_buckets(read, asked):
    """Of one position that reads one other."""
    times = torch.tensor([[[read, NO_TIME], [NO_TIME, asked]]])
    return int(gap_buckets(times)[0, 1, 0])


@given(st.one_of(st.integers(-DAY, 2 * SECOND), st.integers(0, 2**61)))
def test_buckets_are_those_of_whole_numbers(gap):
    assert brute_force_buckets(NOW, NOW + gap) == by_whole_numbers(gap)


@pytest.mark.parametrize("doublings", range(32))
def test_a_bucket_begins_at_its_edge_to_the_microsecond(doublings):
    """Which float32 cannot tell of such times."""
    edge = (2**doublings - 1) * SECOND
    assert brute_force_buckets(NOW, NOW + edge) == 2 * doublings
    assert brute_force_buckets(NOW, NOW + edge - 1) == max(2 * doublings - 1, 0)


def test_unknown_times_have_a_bucket_of_their_own():
    assert brute_force_buckets(NO_TIME, NOW) == brute_force_buckets(NOW, NO_TIME) == UNKNOWN_GAP
    assert brute_force_buckets(NO_TIME, NO_TIME) == UNKNOWN_GAP
    assert brute_force_buckets(-NOW, NOW) == brute_force_buckets(-(2**61), 2**61) == NUM_GAPS - 1


def past(times):
    """Each position counts gaps to its own event."""
    return times[..., None].expand(*times.shape, 2).contiguous()


def some_times(shape):
    """Rising along rows, in steps of seconds to months; some unknown."""
    steps = (torch.rand(shape) * 44).exp2().long()
    return torch.where(torch.rand(shape) < 0.15, NO_TIME, NOW + steps.cumsum(dim=1))


def naive(qkv, documents, times, table, relative):
    """Row by row and head by head, in float64; other documents are masked."""
    _, batch, num_heads, length, size = qkv.shape
    out = []
    for row in range(batch):
        for head in range(num_heads):
            for here in range(length):
                read = [n for n in range(here + 1) if documents[row, n] == documents[row, here]]
                logits = []
                for there in read:
                    asked, seen = int(times[row, here, 1]), int(times[row, there, 0])
                    is_known = NO_TIME not in (asked, seen)
                    bucket = by_whole_numbers(asked - seen) if is_known else UNKNOWN_GAP
                    product = qkv[0, row, head, here] @ qkv[1, row, head, there] * size**-0.5
                    bias = table[head, bucket] + relative[head, here - there]
                    logits.append(product + bias)
                weights = torch.stack(logits).softmax(dim=0)
                out.append(weights @ qkv[2, row, head, read])
    return torch.stack(out).view(batch, num_heads, length, size)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-9), (torch.float32, 1e-4), (torch.bfloat16, 0.04)],
)
def test_attention_and_its_gradients_are_those_of_a_naive_reference(dtype, tolerance):
    qkv, upstream = torch.randn(3, 2, 2, 16, 8), torch.randn(2, 2, 16, 8)
    qkv = qkv.bfloat16().double()
    times = past(some_times((2, 16)))
    bias, relative = TimeBias(2).double(), RelativeBias(2, 16).double()
    for parameter in (bias.weight, relative.weight):
        parameter.data = torch.randn_like(parameter).bfloat16().double()
    leaves = [qkv.requires_grad_(), bias.weight, relative.weight]
    truth = naive(qkv, DOCUMENTS, times, bias.weight, relative.weight)
    wanted = torch.autograd.grad(truth, leaves, upstream.double())
    low = qkv.detach().to(dtype).requires_grad_()
    added = bias(gap_buckets(times), dtype) + relative(16).to(dtype)
    found = attend(low, document_mask(DOCUMENTS, dtype), added)
    torch.testing.assert_close(found.double(), truth, atol=tolerance, rtol=tolerance)
    gradients = torch.autograd.grad(found, [low, *leaves[1:]], upstream.to(dtype))
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, atol=4 * tolerance, rtol=tolerance)
    assert wanted[1][:, UNKNOWN_GAP].abs().min() > 0.1


def test_the_gradient_sums_what_float32_would_lose():
    """A million small numbers beside one large one."""
    bias = TimeBias(1)
    gaps = torch.zeros(1, 1000, 1001, dtype=torch.int32)
    upstream = torch.full((1, 1, 1000, 1001), 1.0)
    upstream[0, 0, 0, 0] = 2.0**25
    bias(gaps, torch.float32).backward(upstream)
    assert bias.weight.grad[0, 0] == pytest.approx(2**25 + 1_000_999, rel=1e-7)


def large_arrays_held(has_time_bias):
    """Arrays of the size of all logits that a forward pass of bfloat16 holds for its gradient."""
    config = small_config("sasrec")
    config.backbone_config.time_bias = "past_times" if has_time_bias else None
    model, found = SeqRecForNextItem(config), []
    tokens, documents = torch.randint(2, 102, (2, 13)), DOCUMENTS[:, :13]
    times = past(some_times((2, 13))) if has_time_bias else None

    def hold(tensor):
        found.append(tensor.numel() == 2 * 2 * 13 * 13)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        model.hidden_states(tokens, documents, times)
    return sum(found)


def test_nothing_of_the_size_of_all_logits_is_held_for_it():
    assert large_arrays_held(True) == large_arrays_held(False) == 2


def timed_model(block, *, num_members=1, **changes):
    config = small_config(block)
    for name, value in ({"time_bias": "past_times"} | changes).items():
        setattr(config.backbone_config, name, value)
    if num_members > 1:
        member = config.backbone_config
        config.backbone_config = EnsembleConfig(member_config=member, num_members=num_members)
    model = SeqRecForNextItem(config).eval()
    for name, parameter in model.named_parameters():
        if "_bias.weight" in name:
            torch.nn.init.normal_(parameter)
    return model


KINDS = {
    "sasrec": {},
    "llama": {"relative_bias": True, "gated_residual": True},
    "hstu": {"relative_bias": True},
    "sasrec, three of it": {"num_members": 3},
}


@pytest.fixture(params=KINDS)
def model(request):
    return timed_model(request.param.partition(",")[0], **KINDS[request.param])


def test_packed_histories_give_what_each_gives_alone(model):
    tokens = torch.randint(2, 102, (2, 16))
    times = past(some_times((2, 16)))
    packed = model.hidden_states(tokens, DOCUMENTS, times)
    moved = (packed - model.hidden_states(tokens, DOCUMENTS)).abs().amax(dim=2)
    assert (moved[1, 1:] > 1e-3).any()
    for row, start, stop in ((0, 0, 4), (0, 4, 11), (0, 11, 14), (1, 0, 16)):
        part = slice(start, stop)
        alone = model.hidden_states(tokens[row : row + 1, part], None, times[row : row + 1, part])
        torch.testing.assert_close(packed[row, part], alone[0], rtol=1e-4, atol=1e-5)


def test_document_states_are_the_hidden_states_at_the_ends(model):
    tokens, times = torch.randint(2, 102, (2, 16)), past(some_times((2, 16)))
    hidden = model.hidden_states(tokens, DOCUMENTS, times)
    expected = torch.stack([hidden[0, 3], hidden[0, 10], hidden[0, 13], hidden[1, 15]])
    found = model.document_states(tokens, DOCUMENTS, times)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    scores = model(tokens[1:], times=times[1:]).logits
    torch.testing.assert_close(scores[0], hidden[1, 15] @ model.item_weight().T)


def test_gaps_count_and_nothing_else_of_times(model):
    tokens, times = torch.randint(2, 102, (2, 16)), past(some_times((2, 16)))
    found = model.hidden_states(tokens, DOCUMENTS, times)
    later = torch.where(times == NO_TIME, NO_TIME, times + 400 * DAY)
    assert torch.equal(model.hidden_states(tokens, DOCUMENTS, later), found)
    nothing = torch.full_like(times, NO_TIME)
    unknown = model.hidden_states(tokens, DOCUMENTS, nothing)
    torch.testing.assert_close(unknown, model.hidden_states(tokens, DOCUMENTS))


def test_no_position_reads_the_time_of_a_later_one(model):
    tokens, times = torch.randint(2, 102, (1, 12)), NOW + DAY * torch.arange(12)[None]
    before = model.hidden_states(tokens, None, past(times))
    changed = times.clone()
    changed[0, 7:] += 50 * DAY
    after = model.hidden_states(tokens, None, past(changed))
    assert torch.equal(after[:, :7], before[:, :7])
    assert ((after - before).abs().amax(dim=2)[0, 7:] > 1e-5).all()


@pytest.mark.parametrize("num_members", [1, 3])
def test_saved_and_loaded_it_scores_the_same(tmp_path, num_members):
    model = timed_model("hstu", num_members=num_members)
    tokens, times = torch.randint(2, 102, (3, 9)), past(some_times((3, 9)))
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.config.time_bias == "past_times"
    assert torch.equal(loaded(tokens, times=times).logits, model(tokens, times=times).logits)


def test_a_folder_from_before_there_were_time_biases_has_none(tmp_path):
    SeqRecForNextItem(small_config()).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["backbone_config"].pop("time_bias", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_model(tmp_path).config.time_bias is None


def test_a_decoder_with_a_time_bias_has_no_llama_equivalent():
    with pytest.raises(SeqRecError, match="no Llama equivalent.*time_bias past_times"):
        to_llama(timed_model("llama").backbone)
