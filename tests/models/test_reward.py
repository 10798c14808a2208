"""The reward model: its head in float64, its causality, and its folder."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModel

from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForReward, SeqRecRewardConfig
from seqrec.models.folder import load_model, load_reward_model
from seqrec.models.reward import RewardHead
from seqrec.training.steps.reward_model import reward_logits, reward_loss
from seqrec.training.tensors import RewardTensors
from tests.conftest import small_config


def reward_config(block="llama", head="tied", **changes):
    fields = {
        "backbone_config": small_config(block).backbone_config,
        "head": head,
        "intermediate_size": 48,
        "dropout": 0.0,
        "num_items": 100,
        "padded_num_items": 128,
        "first_item_token": 2,
        "max_length": 16,
        "rating_levels": [1.0, 2.0, 3.0, 4.0, 5.0],
        "num_rating_rows": 7,
        "liked": 4.0,
        "catalog_fingerprint": "catalog",
        "tokenizer_fingerprint": "tokenizer",
    }
    return SeqRecRewardConfig(**(fields | changes))


def reward_model(block="llama", head="tied", num_members=1):
    torch.manual_seed(0)
    model = SeqRecForReward(reward_config(block, head, num_members=num_members)).eval()
    for judge in model.members():
        torch.nn.init.normal_(judge.head.item_bias)
    return model


@pytest.fixture(params=[("llama", "tied"), ("sasrec", "untied", 2), ("hstu", "tied")])
def model(request):
    return reward_model(*request.param)


def rows_of_histories():
    tokens = torch.randint(2, 102, (3, 16))
    ratings = torch.randint(1, 7, (3, 16))
    documents = torch.tensor([[1] * 5 + [2] + [3] * 10, [1] * 16, [1] * 3 + [2] * 4 + [0] * 9])
    return tokens, ratings, documents


def test_the_head_is_its_formula_in_float64():
    head = RewardHead(num_items=9, hidden_size=6, intermediate_size=5, dropout=0.0)
    torch.nn.init.normal_(head.item_bias)
    state, vector = torch.randn(2, 4, 3, 6)
    items = torch.randint(0, 9, (4, 3))
    weights = {name: p.detach().double().numpy() for name, p in head.named_parameters()}
    h, v = state.double().numpy(), vector.double().numpy()
    joint = np.concatenate([h, v, h * v], axis=-1)
    inner = joint @ weights["up_proj.weight"].T + weights["up_proj.bias"]
    erf = torch.special.erf(torch.from_numpy(inner) / 2**0.5).numpy()
    deep = (inner * (1 + erf) / 2) @ weights["down_proj.weight"].T + weights["down_proj.bias"]
    expected = (h * v).sum(-1) / 6**0.5 + weights["item_bias"][items] + deep[..., 0]
    np.testing.assert_allclose(head(state, vector, items).detach(), expected, atol=1e-5)


def test_a_candidate_is_scored_from_earlier_positions_only(model):
    tokens, ratings, documents = rows_of_histories()
    candidates = torch.randint(0, 100, (3, 16))
    before = model(tokens, ratings, candidates, documents).logits
    for column in range(16):
        later = ratings.clone()
        later[:, column + 1 :] = torch.randint(1, 7, (3, 15 - column))
        titles = tokens.clone()
        titles[:, column + 1 :] = torch.randint(2, 102, (3, 15 - column))
        others = candidates.clone()
        others[:, :column] = 0
        others[:, column + 1 :] = 0
        after = model(titles, later, others, documents).logits
        assert torch.equal(before[:, column], after[:, column])
    other = torch.where(ratings == 6, 1, ratings + 1)
    assert (model(tokens, other, candidates, documents).logits != before).all()


def test_states_are_those_at_the_ends_of_histories(model):
    tokens, ratings, documents = rows_of_histories()
    hidden = model.hidden_states(tokens, ratings, documents)
    ends = [(0, 4), (0, 5), (0, 15), (1, 15), (2, 2), (2, 6)]
    expected = torch.stack([hidden[row, column] for row, column in ends])
    torch.testing.assert_close(
        model.states(tokens, ratings, documents), expected, rtol=1e-4, atol=1e-5
    )
    alone = model.hidden_states(
        tokens[:1, 6:], ratings[:1, 6:], torch.ones(1, 10, dtype=torch.long)
    )
    torch.testing.assert_close(alone[:, -1], expected[2:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", ["tied", "untied"])
def test_members_have_a_mean_logit_and_learn_each_from_its_own_loss(head):
    """Against each member alone, as a model of one member, on the same slates and labels."""
    both = reward_model("sasrec", head, num_members=2)
    tokens, ratings, documents = rows_of_histories()
    slates = torch.tensor([[3, 7], [5, -1], [9, 2]])
    labels = torch.tensor([1.0, 0.0, 1.0])
    places = torch.tensor([0, 1, 2]), torch.tensor([3, 15, 6])
    batch = RewardTensors(
        tokens, ratings, documents, *places, slates, labels, torch.arange(3), total_weight=3.0
    )
    reward_loss(both, batch).backward()
    said = []
    for number, judge in enumerate(both.members()):
        alone = reward_model("sasrec", head)
        alone.judges[0].load_state_dict(judge.state_dict())
        reward_loss(alone, batch).backward()
        said.append(reward_logits(alone, batch)[0])
        for (name, mine), theirs in zip(
            judge.named_parameters(), alone.judges[0].parameters(), strict=True
        ):
            if theirs.grad is not None:
                torch.testing.assert_close(mine.grad, theirs.grad, msg=f"{number} {name}")
    torch.testing.assert_close(reward_logits(both, batch), torch.stack(said))
    state = both.hidden_states(tokens, ratings, documents)[places]
    torch.testing.assert_close(
        both.mean_logits(state, slates[:, 0]), both.member_logits(state, slates[:, 0]).mean(0)
    )
    assert (said[0] != said[1]).all()


def test_a_saved_model_scores_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    tokens, ratings, documents = rows_of_histories()
    candidates = torch.randint(0, 100, (3, 16))
    expected = model(tokens, ratings, candidates, documents).logits
    for loaded in (load_reward_model(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert torch.equal(loaded(tokens, ratings, candidates, documents).logits, expected)


def test_other_folders_are_refused_in_a_line(tmp_path):
    reward_model().save_pretrained(tmp_path)
    with pytest.raises(SeqRecError, match="'seqrec_reward', not 'seqrec'; name the model/ folder"):
        load_model(tmp_path)
    file = tmp_path / "config.json"
    fields = json.loads(file.read_text())
    file.write_text(json.dumps(fields | {"model_type": "seqrec"}))
    with pytest.raises(SeqRecError, match="name a run of seqrec train reward-model"):
        load_reward_model(tmp_path)
    file.write_text(json.dumps(fields | {"num_rating_rows": 3}))
    with pytest.raises(SeqRecError, match="embed_ratings.weight has shape"):
        load_reward_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(SeqRecError, match="broken or cut short"):
        load_reward_model(tmp_path)
