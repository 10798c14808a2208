"""What training is said to cost, against torch's own counter and arithmetic."""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seqrec.models import SeqRecForNextItem
from seqrec.models.next_item import SeqRecForNextItem as Model
from seqrec.training.accounting import Counts, product_rate, training_dtype, training_flops
from tests.conftest import small_config


def test_operations_are_those_that_torch_counts(small_model: Model):
    rows, length = 3, 16
    input_ids = torch.randint(2, 102, (rows, length))
    model = small_model.train()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        hidden = model.hidden_states(input_ids).flatten(0, 1)
        (hidden @ model.item_weight().T).sum().backward()
    counts = Counts(1, rows * length, rows * length, rows * length)
    flops = training_flops(model, counts, row_length=length, num_scored=100)
    assert sum(flops) == counter.get_total_flops()


def test_operations_by_hand():
    model = SeqRecForNextItem(small_config("sasrec"))
    counts = Counts(steps=1, positions=10, useful=9, targets=7)
    layer = 3 * 32 * 32 + 32 * 32 + 2 * 32 * 64
    flops = training_flops(model, counts, row_length=16, num_scored=5)
    assert flops.decoder == 10 * 2 * (6 * layer + 12 * 32 * 16)
    assert flops.head == 7 * 6 * 5 * 32


def test_counts_add_up():
    assert Counts(1, 2, 3, 4).plus(Counts(10, 20, 30, 40)) == Counts(11, 22, 33, 44)


def test_a_named_precision_is_taken_and_a_rate_is_measured():
    assert training_dtype("float32", "cpu") == torch.float32
    assert training_dtype("bfloat16", "cpu") == torch.bfloat16
    able = torch.cpu.get_capabilities()
    has_products = able.get("avx512_bf16") or able.get("amx_bf16")
    assert training_dtype("auto", "cpu") == (torch.bfloat16 if has_products else torch.float32)
    assert product_rate(torch.float32, torch.device("cpu")) > 1e8
