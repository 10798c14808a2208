"""The loss of two heads: as the logits of transformers give it, target by target."""

import numpy as np
import pytest
import torch

from seqrec.builders.language_model import prepare_for_texts
from seqrec.models.growth import grow_vocabulary
from seqrec.models.heads import build_head
from seqrec.tokens.text.batches import batch_texts
from seqrec.tokens.text.examples import TextExample
from seqrec.tokens.tokenizer import item_token
from seqrec.training.steps.mixed import HeadWeights, Tally, TokenPlaces, mixed_loss, mixed_sums
from seqrec.training.tensors import as_tensors
from tests.families import tiny_model, tiny_tokenizer

NUM_ITEMS = 11
HEADS = {"tied": None, "untied": None, "projected": 8}


def build(family, kind):
    """A model with both heads, and the places of its tokens."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(family)
    model = tiny_model(family, len(tokenizer))
    items = [item_token(f"t{number}") for number in range(NUM_ITEMS)]
    grown, tokens = grow_vocabulary(model, tokenizer, items)
    prepare_for_texts(model)
    model.catalog_head = build_head(
        kind,
        num_items=NUM_ITEMS,
        padded_num_items=64,
        first_item_token=tokens.start,
        hidden_size=32,
        head_size=HEADS[kind],
    )
    model.catalog_head.init_weights(0.3)
    return model, TokenPlaces(tokens.start, NUM_ITEMS, len(grown))


def draw_examples(places):
    """Texts in which every third token is an item; turns have weights."""
    generator = np.random.default_rng(0)
    examples = []
    for length in (9, 14, 5):
        tokens = generator.integers(3, places.first_item, length)
        where = np.arange(length) % 3 == 2
        tokens[where] = places.first_item + generator.integers(NUM_ITEMS, size=where.sum())
        weight = generator.choice([0.0, 0.5, 1.0], length).astype(np.float32)
        examples.append(TextExample(tokens, weight))
    return examples


@torch.no_grad()
def by_hand(model, places, examples):
    """Weighted cross-entropies, target by target: of words, of items as tokens, of items."""
    first, last = places.first_item, places.first_item + NUM_ITEMS
    sums, masses, hits = np.zeros(3), np.zeros(2), []
    model.set_attn_implementation("eager")
    table = model.catalog_head(model.get_input_embeddings().weight)
    for tokens, weight in examples:
        output = model(input_ids=torch.from_numpy(tokens)[None], output_hidden_states=True)
        words = output.logits[0, :, : places.num_tokens].double().log_softmax(dim=1)
        states = model.catalog_head.project(output.hidden_states[-1][0])
        items = (states @ table.T).double().log_softmax(dim=1)
        for place in range(1, len(tokens)):
            token, share = int(tokens[place]), float(weight[place])
            is_item = first <= token < last
            sums[int(is_item)] -= share * float(words[place - 1, token])
            masses[int(is_item)] += share
            if is_item:
                found = items[place - 1]
                sums[2] -= share * float(found[token - first])
                if share:
                    hits.append(int((found > found[token - first]).sum()) < 10)
    return sums, masses, hits


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "gemma3", "smollm"])
def test_each_head_answers_where_the_next_token_says(family, kind):
    model, places = build(family, kind)
    examples, tally = draw_examples(places), Tally()
    batch = as_tensors(batch_texts(examples, range(len(examples))))
    weights = HeadWeights(item=0.7, word=1.3)
    loss = mixed_loss(model, batch, places=places, weights=weights, chunk_size=4, tally=tally)
    loss.backward()
    found = mixed_sums(model, batch, places=places, weights=weights)
    sums, masses, hits = by_hand(model, places, examples)
    expected = (1.3 * (sums[0] + sums[1]) + 0.7 * sums[2]) / masses.sum()
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert tally.take() == pytest.approx(
        {"word_loss_nats": sums[0] / masses[0], "item_loss_nats": sums[2] / masses[1]}, rel=1e-4
    )
    assert tally.take() == {}
    assert found["loss_nats"] == pytest.approx((expected * masses.sum(), masses.sum()), rel=1e-4)
    assert found["item_loss_nats"] == pytest.approx((sums[2], masses[1]), rel=1e-4)
    assert found["word_loss_nats"] == pytest.approx((sums[0], masses[0]), rel=1e-4)
    assert found["recall@10"] == (sum(hits), len(hits))
    padding = slice(places.num_tokens, None)
    assert not model.get_output_embeddings().weight.grad[padding].any()
    assert model.get_output_embeddings().weight.grad[: places.num_tokens].any()
    for part in model.catalog_head.parameters():
        assert part.grad.any()


def test_a_head_without_weight_learns_nothing_and_texts_without_items_have_no_recall():
    model, places = build("smollm", "untied")
    examples = draw_examples(places)
    batch = as_tensors(batch_texts(examples, range(3)))
    mixed_loss(model, batch, places=places, weights=HeadWeights(item=0.0, word=1.0)).backward()
    assert not model.catalog_head.table.weight.grad.any()
    words = [TextExample(one.tokens % places.first_item, one.weight) for one in examples]
    batch = as_tensors(batch_texts(words, range(3)))
    found = mixed_sums(model, batch, places=places, weights=HeadWeights(1.0, 1.0))
    assert set(found) == {"loss_nats", "word_loss_nats"}
    assert found["loss_nats"] == found["word_loss_nats"]
