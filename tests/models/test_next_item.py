"""The model: packing, padding, saving, heads."""

import pytest
import torch
from transformers import AutoModel, LlamaConfig

from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.documents import document_positions
from seqrec.models.folder import load_model
from seqrec.models.heads import TiedCatalogHead, UntiedCatalogHead
from tests.conftest import small_config

BLOCKS = {
    "sasrec": {},
    "llama": {},
    "hstu": {},
    "sasrec, biased and gated": {"relative_bias": True, "gated_residual": True},
    "hstu, biased": {"relative_bias": True},
}


@pytest.fixture(params=[*BLOCKS, "transformers' Llama"])
def model(request):
    if request.param in BLOCKS:
        config = small_config(request.param.partition(",")[0])
        for name, value in BLOCKS[request.param].items():
            setattr(config.backbone_config, name, value)
        model = SeqRecForNextItem(config).eval()
        for name, parameter in model.named_parameters():
            if "relative_bias" in name:
                torch.nn.init.normal_(parameter)
        return model
    backbone = LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.1,
    )
    return SeqRecForNextItem(small_config(backbone_config=backbone)).eval()


def test_document_states_are_the_hidden_states_at_the_ends(model):
    tokens = torch.randint(2, 102, (3, 16))
    documents = torch.tensor([[1] * 5 + [2] + [3] * 10, [1] * 16, [1] * 3 + [2] * 4 + [0] * 9])
    hidden = model.hidden_states(tokens, documents)
    ends = [(0, 4), (0, 5), (0, 15), (1, 15), (2, 2), (2, 6)]
    expected = torch.stack([hidden[row, column] for row, column in ends])
    found = model.document_states(tokens, documents)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_decoder_without_a_mask_is_causal(model):
    """As transformers' own are; with all that its attention has learned."""
    tokens = torch.randint(2, 102, (3, 16))
    alone = model.backbone(input_ids=tokens).last_hidden_state
    torch.testing.assert_close(alone, model.hidden_states(tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", ["tied", "untied"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_vectors_of_some_items_are_rows_of_all_with_a_gradient_of_theirs(head, is_sparse):
    model = SeqRecForNextItem(small_config(head=head))
    model.use_sparse_gradients(is_sparse)
    items = torch.tensor([7, 99, 7])
    found = model.item_vectors(items)
    assert torch.equal(found, model.item_weight()[items])
    found.sum().backward()
    (gradient,) = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradient.is_sparse == is_sparse
    rows = gradient.to_dense().sum(dim=1).nonzero().squeeze(1)
    first = 2 if head == "tied" else 0
    assert rows.tolist() == [first + 7, first + 99]


def test_packed_histories_give_what_they_give_alone(model):
    lengths = [5, 1, 7, 3]
    tokens = torch.randint(2, 102, (1, 16))
    documents = torch.tensor([[1] * 5 + [2] + [3] * 7 + [4] * 3])
    packed = model.hidden_states(tokens, documents)
    start = 0
    for length in lengths:
        alone = model.hidden_states(tokens[:, start : start + length])
        torch.testing.assert_close(packed[:, start : start + length], alone, rtol=1e-4, atol=1e-5)
        start += length


def test_nothing_of_a_row_reaches_another_history_or_an_earlier_position(model):
    tokens = torch.randint(2, 102, (1, 12))
    documents = torch.tensor([[1] * 6 + [2] * 6])
    before = model.hidden_states(tokens, documents)
    changed = tokens.clone()
    changed[0, 3] = (tokens[0, 3] - 2 + 1) % 100 + 2
    after = model.hidden_states(changed, documents)
    is_moved = (after != before).any(dim=-1)[0]
    assert is_moved.tolist() == [False] * 3 + [True] * 3 + [False] * 6


def test_padding_on_the_right_changes_no_score(model):
    tokens = torch.randint(2, 102, (3, 6))
    mask = torch.ones_like(tokens)
    alone = model(tokens).logits
    padded = model(
        torch.nn.functional.pad(tokens, (0, 5)), torch.nn.functional.pad(mask, (0, 5))
    ).logits
    torch.testing.assert_close(padded, alone, rtol=1e-4, atol=1e-5)


def test_positions_restart_in_every_document():
    documents = torch.tensor([[1, 1, 2, 2, 2, 3, 0, 0]])
    assert document_positions(documents).tolist() == [[0, 1, 0, 1, 2, 0, 0, 1]]


def test_scores_cover_the_catalog_and_no_padding_row(model):
    assert model(torch.randint(2, 102, (2, 5))).logits.shape == (2, 100)
    assert model.item_weight().shape == (100, 32)


def test_the_tied_head_reads_the_items_rows_of_the_embedding():
    model = SeqRecForNextItem(small_config())
    rows = model.get_input_embeddings().weight[2:102]
    assert model.item_weight().data_ptr() == rows.data_ptr()
    assert torch.equal(model.item_weight(), rows)


def test_a_head_can_be_swapped():
    model = SeqRecForNextItem(small_config()).eval()
    head = UntiedCatalogHead(100, 128, 32)
    with torch.no_grad():
        head.table.weight.zero_()[7] = 1
    model.head = head
    logits = model(torch.randint(2, 102, (2, 5))).logits
    assert (logits[:, 7] != 0).all() and (logits[:, 8] == 0).all()
    model.head = TiedCatalogHead(100, 2)
    assert model(torch.randint(2, 102, (2, 5))).logits.shape == (2, 100)


@pytest.mark.parametrize("head", ["tied", "untied"])
@pytest.mark.parametrize("block", ["sasrec", "llama"])
def test_a_saved_model_gives_the_same_scores_bit_for_bit(tmp_path, block, head):
    model = SeqRecForNextItem(small_config(block, head)).eval()
    model.save_pretrained(tmp_path)
    tokens = torch.randint(2, 102, (3, 9))
    scores = model(tokens).logits
    assert torch.equal(load_model(tmp_path)(tokens).logits, scores)
    auto = AutoModel.from_pretrained(tmp_path)
    assert isinstance(auto, SeqRecForNextItem)
    assert torch.equal(auto.eval()(tokens).logits, scores)
    assert not list(tmp_path.glob("*.bin"))


def test_a_model_folder_without_weights_is_refused(tmp_path):
    SeqRecForNextItem(small_config()).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(SeqRecError, match="model.safetensors is missing"):
        load_model(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path):
    SeqRecForNextItem(small_config(head="untied", padded_num_items=192)).save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("192", "128"))
    with pytest.raises(SeqRecError, match=r"table.weight has shape \(192, 32\).* needs \(128, 3"):
        load_model(tmp_path)


def test_a_weight_file_cut_short_is_refused(tmp_path):
    SeqRecForNextItem(small_config()).save_pretrained(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(SeqRecError, match="broken or cut short"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"model_type": "llama"}', '{"model_type": "seqrec"}'])
def test_a_broken_config_is_refused(tmp_path, text):
    SeqRecForNextItem(small_config()).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SeqRecError, match="config.json"):
        load_model(tmp_path)


@pytest.mark.parametrize("head", ["tied", "untied"])
def test_scores_by_cosine_do_not_know_lengths(head):
    model = SeqRecForNextItem(small_config(head=head, cosine_scale=9.0)).eval()
    tokens = torch.randint(2, 102, (3, 8))
    logits = model(tokens).logits
    plain = SeqRecForNextItem(small_config(head=head)).eval()
    plain.load_state_dict(model.state_dict())
    state, vectors = plain.hidden_states(tokens)[:, -1], plain.item_weight()
    wanted = 9 * torch.nn.functional.cosine_similarity(state[:, None], vectors[None], dim=-1)
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.item_vectors(torch.tensor([4])), model.item_weight()[4:5])


def test_without_causality_a_position_reads_the_whole_history_and_no_other():
    model = SeqRecForNextItem(small_config("sasrec", causal=False)).eval()
    tokens = torch.randint(2, 102, (1, 7))
    documents = torch.tensor([[1, 1, 1, 1, 2, 2, 2]])
    found = model.hidden_states(tokens, documents)
    torch.testing.assert_close(found[:, :4], model.hidden_states(tokens[:, :4]))
    changed = tokens.clone()
    changed[0, 3] = tokens[0, 3] % 100 + 2
    moved = (model.hidden_states(changed, documents) - found).abs().amax(dim=2)[0]
    assert (moved[:4] > 1e-4).all() and (moved[4:] < 1e-6).all()
    last = model.document_states(tokens, documents)
    torch.testing.assert_close(last, found[0, [3, 6]])


def test_a_misspelt_argument_is_refused_by_its_name():
    model = SeqRecForNextItem(small_config())
    tokens = torch.tensor([[3, 4]])
    for name in ("lables", "atention_mask"):
        with pytest.raises(TypeError, match=name):
            model(tokens, **{name: tokens})
        with pytest.raises(TypeError, match=name):
            model.backbone(tokens, **{name: tokens})


def test_the_padding_token_is_the_backbones_and_0_where_it_has_none():
    config = small_config()
    assert SeqRecForNextItem(config).pad_token_id == 0
    config.backbone_config.pad_token_id = 7
    assert SeqRecForNextItem(config).pad_token_id == 7
    config.backbone_config.pad_token_id = None
    assert SeqRecForNextItem(config).pad_token_id == 0
