"""Item vectors made from content, and texts as vectors."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertModel

from seqrec.errors import SeqRecError
from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.models import SeqRecForNextItem
from seqrec.models.content import ContentEmbedding
from seqrec.models.folder import load_model
from seqrec.models.text_encoder import TextEncoder
from seqrec.tokens.tokenizer import build_tokenizer
from seqrec.training.steps.sft import sft_loss
from seqrec.training.tensors import PackedTensors
from tests.conftest import small_config

WIDTH = 5


def model_with_content():
    model = SeqRecForNextItem(small_config(content={"content_width": WIDTH})).eval()
    tokens = model.get_input_embeddings()
    tokens.load_content(torch.randn(100, WIDTH), torch.arange(100) % 4)
    for part in tokens.proj_of_new.parameters():
        torch.nn.init.normal_(part)
    return model


def test_an_item_is_its_row_plus_its_content_and_a_new_one_is_its_content_alone():
    model = model_with_content()
    tokens = model.get_input_embeddings()
    assert isinstance(tokens, ContentEmbedding)
    vectors, new = model.item_weight(), tokens.proj_of_new
    with_row = tokens.weight[9] + tokens.proj.weight @ tokens.content[7]
    torch.testing.assert_close(vectors[7], with_row)
    torch.testing.assert_close(vectors[8], new.weight @ tokens.content[8] + new.bias)
    torch.testing.assert_close(tokens(torch.tensor([1])), tokens.weight[1:2])
    torch.testing.assert_close(tokens(torch.tensor([[9, 10]]))[0], vectors[7:9])


def test_vectors_of_some_tokens_are_rows_of_all_with_their_gradient():
    tokens = model_with_content().get_input_embeddings()
    asked = torch.tensor([[9, 10, 1], [10, 120, 9]])
    upstream = torch.randn(2, 3, 32)
    slopes = []
    for vectors in (tokens(asked), tokens.table()[asked]):
        slopes.append(torch.autograd.grad((vectors * upstream).sum(), tokens.parameters()))
    torch.testing.assert_close(tokens(asked), tokens.table()[asked])
    torch.testing.assert_close(slopes[0], slopes[1])


def test_cold_items_are_no_wrong_answers():
    """90 of 100 items occur in training: the softmax of the loss is over these."""
    model = model_with_content()
    tokens = model.get_input_embeddings()
    tokens.load_content(tokens.content.clone(), (torch.arange(100) < 90).long())
    input_ids = torch.randint(2, 92, (2, 9))
    labels, weight = torch.randint(0, 90, (2, 9)), torch.ones(2, 9)
    batch = PackedTensors(input_ids, torch.ones_like(input_ids), labels, weight, 18.0)
    loss = sft_loss(model, batch, loss=catalog_cross_entropy)
    logits = model.hidden_states(input_ids).flatten(0, 1) @ model.item_weight()[:90].T
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels.flatten()))
    (slope,) = torch.autograd.grad(loss, tokens.proj.weight)
    tokens.content[90:] = torch.randn(10, WIDTH)
    again = torch.autograd.grad(
        sft_loss(model, batch, loss=catalog_cross_entropy), tokens.proj.weight
    )[0]
    torch.testing.assert_close(again, slope)


def test_saved_and_loaded_it_scores_the_same(tmp_path):
    model = model_with_content()
    tokens = torch.randint(2, 102, (2, 9))
    wanted = model(tokens).logits
    model.save_pretrained(tmp_path)
    assert torch.equal(load_model(tmp_path)(tokens).logits, wanted)


@pytest.fixture
def encoder_folder(tmp_path):
    words = ["alien", "the", "thing", "heat"]
    tokenizer = build_tokenizer(words)
    tokenizer.truncation_side = "right"  # as tokenizers of texts
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=64, intermediate_size=16, max_position_embeddings=8, **sizes)
    BertModel(config).save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_a_text_is_the_mean_of_its_tokens_whatever_its_neighbours(encoder_folder):
    encoder = TextEncoder.from_pretrained(encoder_folder)
    texts = ["<item:alien>", "", "<item:the> <item:thing>", "<item:heat> " * 20]
    found = encoder.encode(texts)
    for place in (0, 2):
        tokens = encoder.tokenizer(texts[place], return_tensors="pt")
        mean = encoder.model(**tokens).last_hidden_state[0].mean(dim=0)
        wanted = (mean / mean.norm()).detach().numpy()
        np.testing.assert_allclose(found[place], wanted, atol=1e-5)
    assert (found[1] == 0).all() and np.isclose(np.linalg.norm(found[3]), 1)


def test_a_text_is_cut_where_tokenizer_or_encoder_end(encoder_folder):
    """Some encoders have more positions than texts may have tokens, as RoBERTa's."""
    encoder = TextEncoder.from_pretrained(encoder_folder)
    encoder.tokenizer.model_max_length = 5
    found = encoder.encode(["<item:alien> " * 4 + "<item:the> " * n for n in (1, 2)])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_a_missing_encoder_is_a_one_line_error(tmp_path):
    with pytest.raises(SeqRecError, match="text encoder .*cannot be loaded"):
        TextEncoder.from_pretrained(tmp_path)
