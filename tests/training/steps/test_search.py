"""The step of search: the loss by hand, what learns, and where the requests lie."""

import pytest
import torch
import torch.nn.functional as F

from seqrec.models import SeqRecForNextItem
from seqrec.models.request_states import PlacedRequests, states_with_requests
from seqrec.training.steps.search import RequestVectors, search_loss
from seqrec.training.tensors import PackedTensors
from tests.conftest import small_config

SETTINGS = {"encoder": "none", "fingerprint": "0", "pooling": {}, "width": 6, "num_parts": 1}
FIRST = 2


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = SeqRecForNextItem(small_config("sasrec"))
    model.add_query_token(SETTINGS)
    model.query_token.content.copy_(torch.randn(100, 6))
    model.requires_grad_(False)
    model.query_token.requires_grad_(True)
    return model.eval()


def build_batch():
    """Two histories in a row, and one in the next, with padding."""
    items = torch.tensor([[3, 1, 4, 9, 2, 0], [5, 6, 7, 0, 0, 0]])
    documents = torch.tensor([[1, 1, 1, 2, 2, 0], [1, 1, 1, 0, 0, 0]])
    labels = torch.tensor([[1, 4, 8, 2, 11, -100], [6, 7, 12, -100, -100, -100]])
    tokens = torch.where(documents > 0, items + FIRST, 0)
    weight = (labels >= 0).float()
    return PackedTensors(tokens, documents, labels, weight, float(weight.sum()))


def build_requests():
    """One request an item, none for item 12."""
    of_item = torch.arange(100)[:, None].repeat(1, 2)
    of_item[:, 1] = -1
    of_item[12] = -1
    return RequestVectors(torch.randn(100, 6), of_item)


@pytest.mark.parametrize("alone", [0.0, 1.0])
def test_the_loss_is_the_cross_entropy_of_next_items_after_their_requests(model, alone):
    batch, requests = build_batch(), build_requests()
    found = search_loss(model, batch, requests=requests, request_share=1.0, alone_share=alone)
    rows = torch.tensor([0, 0, 0, 0, 0, 1, 1])
    columns = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    labels = batch.labels[rows, columns]
    placed = PlacedRequests(
        requests.vectors[labels], rows, columns if alone == 0 else torch.full_like(columns, -1)
    )
    hidden = model.hidden_states(batch.input_ids, batch.documents)
    states = states_with_requests(model, hidden, batch.documents, placed)
    wanted = F.cross_entropy(states @ model.request_item_weight().T, labels)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_only_the_token_learns(model):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], 0.1)
    search_loss(
        model, build_batch(), requests=build_requests(), request_share=1.0, alone_share=0.5
    ).backward()
    optimizer.step()
    changed = {
        name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])
    }
    assert changed and all(name.startswith("query_token.") for name in changed)
    assert "query_token.content" not in changed


def test_a_batch_without_requests_has_no_loss_and_a_gradient(model):
    nothing = RequestVectors(torch.randn(1, 6), torch.full((100, 1), -1))
    loss = search_loss(model, build_batch(), requests=nothing, request_share=1.0, alone_share=0.0)
    loss.backward()
    assert loss.item() == 0
    assert all(one.grad is not None for one in model.query_token.parameters())


def test_requests_move_to_a_device_once():
    requests = build_requests()
    requests.move_to(torch.device("meta"))
    moved = requests.vectors
    requests.move_to(torch.device("meta"))
    assert moved.device.type == "meta" and requests.vectors is moved
