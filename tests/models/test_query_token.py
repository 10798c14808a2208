"""The query token: requests in packed rows equal requests alone, and lists without one stay."""

import numpy as np
import pytest
import torch

from seqrec.models import SeqRecForNextItem
from seqrec.models.query_token import WEIGHTS
from seqrec.models.request_states import PlacedRequests, states_with_requests
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.request_states import encode_with_requests
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer
from tests.conftest import small_config

SETTINGS = {"encoder": "none", "fingerprint": "0", "pooling": {}, "width": 6, "num_parts": 2}
ITEM_IDS = [f"t{item}" for item in range(100)]
TOKENS = ItemTokens.of(build_tokenizer(ITEM_IDS), ITEM_IDS)
HISTORIES = [np.array([3, 1, 4, 1, 5]), np.array([9, 2]), np.array([6]), np.array([5, 3, 5])]


@pytest.fixture(params=["sasrec", "llama", "hstu"])
def start(request):
    """A model that reads no requests."""
    return SeqRecForNextItem(small_config(request.param)).eval()


@pytest.fixture
def model(start):
    """A model with a query token that has learned something."""
    start.add_query_token(SETTINGS)
    start.query_token.content.copy_(torch.randn(100, 12))
    for parameter in start.query_token.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return start.eval()


def encode(model, histories, vectors):
    return encode_with_requests(model, TOKENS, histories, vectors, 2048)


def pack():
    """Two histories in each of two rows, as training packs them, with padding at the end."""
    tokens = TOKENS.blocks.encode
    rows, documents = np.zeros((2, 9), np.int64), np.zeros((2, 9), np.int64)
    for row, pair in enumerate((HISTORIES[:2], HISTORIES[2:])):
        start = 0
        for number, history in enumerate(pair, 1):
            part = slice(start, start + len(history))
            rows[row, part], documents[row, part] = tokens(history)[:, 0], number
            start += len(history)
    return torch.from_numpy(rows), torch.from_numpy(documents)


def test_requests_in_packed_rows_have_the_states_of_requests_alone(model):
    vectors = torch.randn(5, 6)
    input_ids, documents = pack()
    placed = PlacedRequests(vectors, torch.tensor([0, 0, 0, 1, 1]), torch.tensor([4, 6, 2, 3, -1]))
    plain = model.hidden_states(input_ids, documents)
    states = states_with_requests(model, plain, documents, placed)
    prefixes = [HISTORIES[0], HISTORIES[1], HISTORIES[0][:3], HISTORIES[3], np.array([], int)]
    torch.testing.assert_close(states, encode(model, prefixes, vectors), rtol=1e-4, atol=1e-5)


def test_a_request_reads_no_other_history(model):
    input_ids, documents = pack()
    placed = PlacedRequests(torch.randn(1, 6), torch.tensor([0]), torch.tensor([6]))
    changed = input_ids.where(documents != 1, 7)
    states = (
        states_with_requests(model, model.hidden_states(ids, documents), documents, placed)
        for ids in (input_ids, changed)
    )
    torch.testing.assert_close(*states)


def test_a_request_alone_equals_one_among_others_and_differs_from_none(model):
    vectors = torch.randn(4, 6)
    together = encode(model, HISTORIES, vectors)
    for number, history in enumerate(HISTORIES):
        alone = encode(model, [history], vectors[number : number + 1])
        torch.testing.assert_close(alone[0], together[number], rtol=1e-4, atol=1e-5)
    plain = ModelRanker("plain", model, TOKENS).encode(HISTORIES)
    assert (plain - together[:, : plain.shape[1]]).abs().max() > 1e-2


def test_a_whole_history_is_read_beside_a_request(model):
    """The request takes no place of the history: its first item still counts."""
    longest = np.arange(model.config.max_length)
    other = longest.copy()
    other[0] = 50
    vector = torch.randn(1, 6)
    first, second = (encode(model, [one], vector) for one in (longest, other))
    assert (first - second).abs().max() > 1e-6
    longer = np.concatenate([[7, 8], longest])
    torch.testing.assert_close(encode(model, [longer], vector), first)


def test_a_request_of_zero_words_equals_no_request(model):
    ranker = ModelRanker("plain", model, TOKENS)
    asking = ranker.with_request(np.zeros(6, np.float32))
    assert torch.equal(asking.encode(HISTORIES), ranker.encode(HISTORIES))
    vector = np.ones(6, np.float32)
    assert not torch.equal(ranker.with_request(vector).encode(HISTORIES), ranker.encode(HISTORIES))
    assert ranker.request is None  # a copy asks, not the ranker


def test_lists_for_requests_of_their_own_equal_lists_for_one(model):
    ranker, vectors = ModelRanker("plain", model, TOKENS), np.random.randn(4, 6).astype(np.float32)
    ranked = ranker.rank_with_requests(HISTORIES, vectors, 5)
    for number, history in enumerate(HISTORIES):
        alone = ranker.with_request(vectors[number]).rank([history], 5)
        assert torch.equal(ranked.items[number], alone.items[0])


def test_histories_without_a_request_stay_bit_identical(start):
    ranker = ModelRanker("plain", start, TOKENS)
    before = ranker.score_tiles(HISTORIES)(0, 100)
    start.add_query_token(SETTINGS)
    for parameter in start.query_token.parameters():
        torch.nn.init.normal_(parameter)
    assert torch.equal(ranker.score_tiles(HISTORIES)(0, 100), before)


def test_before_training_the_scores_are_those_of_late_fusion(start):
    start.add_query_token(SETTINGS)
    start.query_token.content.copy_(torch.randn(100, 12))
    texts, tags = start.query_token.content.split(6, dim=1)
    ranker, vector = ModelRanker("plain", start, TOKENS), torch.randn(6)
    asked = ranker.with_request(vector.numpy()).score_tiles(HISTORIES)(0, 100)
    wanted = ranker.score_tiles(HISTORIES)(0, 100)
    wanted = wanted + WEIGHTS[0] * texts @ vector + WEIGHTS[1] * tags @ vector
    torch.testing.assert_close(asked, wanted, rtol=1e-4, atol=1e-4)


def test_products_of_vectors_are_the_scores_with_and_without_a_request(model):
    ranker = ModelRanker("plain", model, TOKENS)
    for one in (ranker, ranker.with_request(np.ones(6, np.float32))):
        vectors, items = one.embed_histories(HISTORIES), one.item_embeddings()
        assert vectors.shape[1] == items.shape[1] == one.width
        scores = one.score_tiles(HISTORIES)(0, 100)
        np.testing.assert_allclose(vectors @ items.T, scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_a_weight_moves_all_scores_by_its_share_of_the_difference(model, weight):
    """Scores are log p up to a number for each history, which all three have in common."""
    ranker, vector = ModelRanker("plain", model, TOKENS), np.ones(6, np.float32)
    plain, asked, weighed = (
        one.score_tiles(HISTORIES)(0, 100).double()
        for one in (ranker, ranker.with_request(vector), ranker.with_request(vector, weight))
    )
    torch.testing.assert_close(weighed, plain + weight * (asked - plain), rtol=1e-4, atol=1e-3)


def test_a_saved_model_reads_requests_as_before(model, tmp_path):
    vectors = torch.randn(4, 6)
    model.save_pretrained(tmp_path)
    again = SeqRecForNextItem.from_pretrained(tmp_path).eval()
    assert again.config.query_token == SETTINGS
    assert torch.equal(encode(again, HISTORIES, vectors), encode(model, HISTORIES, vectors))
