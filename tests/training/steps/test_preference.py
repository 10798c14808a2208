"""Preference optimisation: the step by definition, and runs in a world whose better is known."""

import json
from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import seqrec
from seqrec.data.feedback.answers import NO_ITEM
from seqrec.errors import SeqRecError
from seqrec.losses.preference import Answers, PairLogProbs, dpo, kto
from seqrec.models import SeqRecForNextItem
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.streams.base import StreamPosition
from seqrec.tokens.streams.pairs import PairStream
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.epoch_log import EpochLog
from seqrec.training.steps.preference import (
    CachedReference,
    FrozenReference,
    PairMetrics,
    log_probs,
    pair_scores,
    preference_loss,
)
from seqrec.training.tensors import as_tensors
from tests.conftest import small_config
from tests.tokens.streams.test_pairs import made

TOKENS = ItemTokens(OneTokenItems(2, 100), pad_token_id=0, unknown_token_id=1)
DPO = partial(dpo, beta=0.5, label_smoothing=0.1)
KTO = partial(kto, beta=0.5, chosen_weight=1.0, rejected_weight=2.0)
MEMORY = {
    "num_edges": 300,
    "max_steps": 3,
    "step_decay": 0.5,
    "query_decay": 0.7,
    "smoothing": 2.0,
    "strength": 0.4,
}


def with_prior():
    """A model whose memory holds random transitions."""
    model = SeqRecForNextItem(small_config(transition_prior=MEMORY)).eval()
    first_edge = torch.arange(101) * 3
    target = torch.stack([torch.randperm(100)[:3].sort().values for _ in range(100)]).flatten()
    weight = torch.rand(300) * 5
    leaving = weight.view(100, 3).sum(dim=1) + 1
    model.transition_prior.load_transitions(
        first_edge, target.int(), weight, leaving, torch.arange(100)
    )
    return model


def whole_batch(pairs, row_length=16, **more):
    settings = {"row_length": row_length, "batch_size": 10**6, "ignore_index": -100} | more
    stream = PairStream(pairs, np.arange(len(pairs)), TOKENS, **settings)
    return as_tensors(next(iter(stream.in_order())))


def by_definition(model, pairs, pair, row_length=16):
    """Of one history alone: all log-probabilities after it."""
    history = pairs.histories.get(pair, pairs.histories.starts[pair])[-row_length:]
    logits = model(torch.from_numpy(history)[None] + 2).logits[0]
    return logits.double().log_softmax(0)


def slate(log_prob, items):
    """Drawn one after the other, each time without what was drawn."""
    left = log_prob.exp().clone()
    total = 0.0
    for item in items[items != NO_ITEM].tolist():
        total += float((left[item] / left.sum()).log())
        left[item] = 0
    return total


@pytest.mark.parametrize("make", [lambda: SeqRecForNextItem(small_config()).eval(), with_prior])
def test_log_probabilities_are_those_of_each_history_read_alone(make):
    model, pairs = make(), made(num_users=6, per_user=4, longest=14)
    batch = whole_batch(pairs)
    hidden = model.hidden_states(batch.input_ids, batch.documents)
    found = log_probs(pair_scores(model, batch, hidden, as_served=True), batch)
    unrelated = pairs.unrelated()
    for place, pair in enumerate(batch.pairs.tolist()):
        log_prob = by_definition(model, pairs, pair)
        wanted = [slate(log_prob, answer) for answer in pairs.rejected[pair]]
        assert float(found.chosen[place]) == pytest.approx(
            slate(log_prob, pairs.chosen[pair]), abs=1e-4
        )
        assert found.rejected[place].tolist() == pytest.approx(wanted, abs=1e-4)
        assert float(found.unrelated[place]) == pytest.approx(
            slate(log_prob, unrelated[pair]), abs=1e-4
        )


@pytest.mark.parametrize("loss", [DPO, KTO])
@pytest.mark.parametrize("sft_share", [0.0, 0.3])
def test_the_loss_is_the_weighted_mean_and_its_share_of_sft(loss, sft_share):
    model, other = (SeqRecForNextItem(small_config()).eval() for _ in range(2))
    pairs = made(num_users=6, per_user=4, longest=14, length=1)
    batch = whole_batch(pairs)
    objective = partial(preference_loss, loss=loss, sft_share=sft_share)
    found = objective(model, batch, reference=FrozenReference(other))
    of_models = []
    for one in (model, other):
        rows = [by_definition(one, pairs, pair) for pair in range(len(pairs))]
        padded = [torch.cat([row, row.new_zeros(1)]) for row in rows]
        parts = (pairs.chosen[:, 0], pairs.rejected[:, :, 0], pairs.unrelated()[:, 0])
        of_models.append(
            PairLogProbs(
                *(
                    torch.stack([row[i] for row, i in zip(padded, items, strict=True)])
                    for items in map(torch.from_numpy, parts)
                )
            )
        )
    answers = Answers(
        torch.from_numpy((pairs.chosen != NO_ITEM).sum(1)),
        torch.from_numpy((pairs.rejected != NO_ITEM).sum(2)),
    )
    weight = torch.from_numpy(pairs.weight)
    of_pairs = (weight * loss(*of_models, answers)).sum() / weight.sum()
    logits = model.hidden_states(batch.input_ids, batch.documents) @ model.item_weight().T
    of_titles = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten())
    wanted = (1 - sft_share) * of_pairs + sft_share * of_titles
    torch.testing.assert_close(found.double(), wanted.double(), rtol=1e-4, atol=1e-5)
    found.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad is None for p in other.parameters())


def test_a_policy_that_is_its_reference_has_a_loss_of_log_2():
    model = SeqRecForNextItem(small_config()).eval()
    batch = whole_batch(made(length=1))
    loss = partial(dpo, beta=0.1, label_smoothing=0.0)
    reference = FrozenReference(SeqRecForNextItem(small_config()))
    reference.model.load_state_dict(model.state_dict())
    objective = partial(preference_loss, loss=loss, sft_share=0.0)
    found = float(objective(model, batch, reference=reference))
    pairs = made(length=1)
    has_rejected = (pairs.rejected[:, :, 0] != NO_ITEM).any(axis=1)
    share = pairs.weight[has_rejected].sum() / pairs.weight.sum()
    assert found == pytest.approx(share * np.log(2), rel=1e-5)


def test_what_followed_in_the_log_is_not_read_from_the_memory():
    """In training the memory is asked as if it had not met the chosen title there."""
    model, pairs = with_prior(), made(num_users=6, per_user=4, longest=14, length=1)
    batch = whole_batch(pairs)
    hidden = model.hidden_states(batch.input_ids, batch.documents)
    found = log_probs(pair_scores(model, batch, hidden), batch)
    for place, pair in enumerate(batch.pairs.tolist()):
        if not pairs.is_next[pair]:
            continue
        history = torch.from_numpy(pairs.histories.get(pair, pairs.histories.starts[pair]))
        last = torch.full((1, 3), -1)
        last[0, : len(history[-3:])] = history[-3:].flip(0)
        chosen = torch.from_numpy(pairs.chosen[pair])
        state = model.hidden_states(history[None] + 2)[0, -1]
        logits = (
            model.item_weight() @ state + model.transition_prior.logits(last, 0, 100, chosen)[0]
        )
        wanted = float(logits.log_softmax(0)[chosen[0]])
        assert float(found.chosen[place]) == pytest.approx(wanted, abs=1e-4)


def test_a_cached_reference_answers_by_the_number_of_the_pair():
    model, pairs = SeqRecForNextItem(small_config()).eval(), made(length=1)
    whole = whole_batch(pairs)
    reference = FrozenReference(model)
    found = reference(whole)
    order = whole.pairs.argsort()
    cached = CachedReference(PairLogProbs(*(part[order] for part in found)))
    stream = PairStream(
        pairs, np.arange(len(pairs)), TOKENS, row_length=16, batch_size=2, ignore_index=-100
    )
    for _, batch in stream.batches(StreamPosition()):
        tensors = as_tensors(batch)
        for one, other in zip(cached(tensors), reference(tensors), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_what_is_watched_is_the_definition():
    policy, reference = with_prior(), with_prior()
    pairs = made(num_users=6, per_user=4, longest=14, length=1)
    batch = whole_batch(pairs, has_labels=False)
    stream = PairStream(
        pairs,
        np.arange(len(pairs)),
        TOKENS,
        row_length=16,
        batch_size=3,
        ignore_index=-100,
        has_labels=False,
    )
    policy.train()
    found = PairMetrics(stream.in_order, lambda: reference)(policy)
    assert policy.training
    policy.eval()
    accuracy, margin, kl = [], [], {}
    for pair in range(len(pairs)):
        ours, theirs = (by_definition(model, pairs, pair) for model in (policy, reference))
        chosen = pairs.chosen[pair, 0]
        others = pairs.rejected[pair, :, 0]
        others = others[others != NO_ITEM]
        if len(others):
            accuracy.append(float((ours[chosen] > ours[others]).double().mean()))
            ratio = ours - theirs
            margin.append(float((ratio[chosen] - ratio[others]).mean()))
        history = pairs.histories.get(pair, pairs.histories.starts[pair]).tobytes()
        key = (pairs.user_ids[pair], history)
        kl[key] = float((ours.exp() * (ours - theirs)).sum())
    assert found["pair_accuracy"] == pytest.approx(np.mean(accuracy), abs=1e-3)
    assert found["pair_margin_nats"] == pytest.approx(np.mean(margin), abs=1e-3)
    assert found["kl_nats"] == pytest.approx(np.mean(list(kl.values())), abs=1e-3)
    same = PairMetrics(stream.in_order, lambda: policy)(policy)
    assert abs(same["kl_nats"]) < 1e-5 and abs(same["pair_margin_nats"]) < 1e-5
    assert len(batch.pairs) == len(pairs)


def lines(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def share_of_liked(run, tastes, folder):
    """Of the titles in everybody's top 5."""
    file = folder / f"{run.name}.parquet"
    seqrec.recommend(run, data=tastes.data, k=5, out=file)
    lists = pl.read_parquet(file)
    pairs = zip(lists["user_id"], lists["item_id"], strict=True)
    return np.mean([tastes.world.is_liked(*pair) for pair in pairs])


LOSSES = ["dpo", "ipo", "simpo", "kto", "s_dpo"]


@pytest.mark.parametrize("name", LOSSES)
def test_every_objective_moves_towards_what_is_better(name, tastes, settings, tmp_path):
    overrides = [*settings, f"objective.loss={{name: {name}}}"]
    result = seqrec.train("dpo", data=tastes.data, out=tmp_path / "run", overrides=overrides)
    before, after = result["validation_before"], result["validation"]
    assert after["pair_accuracy"] > before["pair_accuracy"] + 0.1
    assert after["pair_margin_nats"] > 0 and before["pair_margin_nats"] == pytest.approx(0)
    assert after["kl_nats"] > 0 and before["kl_nats"] == pytest.approx(0, abs=1e-5)
    of_sft, of_run = (
        share_of_liked(run, tastes, tmp_path) for run in (tastes.sft, tmp_path / "run")
    )
    assert of_run > of_sft + 0.05
    keys = {"val/pair_accuracy", "val/pair_margin_nats", "val/kl_nats", "val/ndcg@10"}
    assert all(keys <= set(line) for line in lines(tmp_path / "run"))
    counts = result["details"]["pairs"]
    assert counts["learned"] + counts["held_out"] == counts["used"]


def test_a_run_against_a_cache_is_the_run_against_the_model(tastes, settings, tmp_path):
    file = tmp_path / "cache.parquet"
    seqrec.cache(tastes.sft, data=tastes.data, pairs=tastes.pairs, out=file)
    overrides = [*settings, "trainer.max_epochs=2"]
    runs = {"model": overrides, "cache": [*overrides, f"objective.reference={file}"]}
    runs["named"] = [*overrides, f"objective.reference={tastes.sft}"]
    weights = {}
    for name, more in runs.items():
        seqrec.train("dpo", data=tastes.data, out=tmp_path / name, overrides=more)
        weights[name] = load_file(tmp_path / name / "model" / "model.safetensors")
    one, two = (lines(tmp_path / name) for name in ("model", "cache"))
    for here, there in zip(one, two, strict=True):
        for key in ("train/loss_nats", "val/kl_nats", "val/pair_accuracy"):
            assert here[key] == pytest.approx(there[key], rel=1e-3, abs=1e-4)
    for key, tensor in weights["model"].items():
        assert torch.equal(tensor, weights["named"][key])
        torch.testing.assert_close(tensor, weights["cache"][key], rtol=1e-2, atol=2e-3)


def test_a_run_that_was_cut_off_ends_equal_to_a_whole_one(tastes, settings, tmp_path, monkeypatch):
    overrides = [*settings, "model.dropout=0.1", "trainer.checkpoint_minutes=1e-9"]
    seqrec.train("dpo", data=tastes.data, out=tmp_path / "whole", overrides=overrides)
    plain = EpochLog.on_train_batch_start

    def cut_off(self, trainer, module, batch, index):
        if trainer.global_step == 19:
            raise MemoryError("cut off")
        plain(self, trainer, module, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_batch_start", cut_off)
        with pytest.raises(MemoryError):
            seqrec.train("dpo", data=tastes.data, out=tmp_path / "cut", overrides=overrides)
    seqrec.train("dpo", data=tastes.data, out=tmp_path / "cut", overrides=overrides, resume=True)
    files = [tmp_path / run / "model" / "model.safetensors" for run in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()
    metrics = [
        json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("whole", "cut")
    ]
    for key in ("validation_before", "validation", "best_epoch", "details"):
        assert metrics[0][key] == metrics[1][key]


FRUITLESS = {
    "past the tolerance": (1, ["objective.tolerance=0.01", "trainer.learning_rate=0.1"]),
    "worse within it": (2, ["trainer.selection_metric=ndcg@10", "trainer.max_epochs=2"]),
}


@pytest.mark.parametrize(("num_epochs", "more"), FRUITLESS.values(), ids=FRUITLESS)
def test_the_start_is_kept_where_no_epoch_is_better(tastes, settings, tmp_path, num_epochs, more):
    overrides = [*settings, "objective.sft_share=0", "trainer.warmup_steps=0", *more]
    result = seqrec.train("dpo", data=tastes.data, out=tmp_path / "run", overrides=overrides)
    assert (result["best_epoch"], result["num_epochs"]) == (0, num_epochs)
    assert result["validation"] == result["validation_before"]
    key = f"val/{result['selection_metric']}"
    assert all(
        line["val/selection"] < result["validation_before"][key[4:]]
        for line in lines(tmp_path / "run")
    )
    kept, start = (
        load_file(run / "model" / "model.safetensors") for run in (tmp_path / "run", tastes.sft)
    )
    assert all(torch.equal(kept[key], start[key]) for key in start)


@pytest.mark.usefixtures("forked_ranks")
@pytest.mark.slow
def test_two_processes_learn_as_one_does(tastes, settings, tmp_path):
    for num in (1, 2):
        overrides = [*settings, "trainer.max_epochs=2", f"trainer.devices={num}"]
        seqrec.train("dpo", data=tastes.data, out=tmp_path / str(num), overrides=overrides)
    for one, two in zip(*(lines(tmp_path / str(num)) for num in (1, 2)), strict=True):
        assert two["train/loss_nats"] == pytest.approx(one["train/loss_nats"], rel=1e-4)
        assert two["val/pair_accuracy"] == pytest.approx(one["val/pair_accuracy"], abs=0.02)


def test_likes_and_dislikes_alone_are_learned_by_kto_alone(tastes, settings, tmp_path):
    table = pl.read_parquet(tastes.pairs).with_row_index()
    is_like = pl.col("index") % 2 == 0
    alone = table.with_columns(
        chosen=pl.when(is_like).then("chosen"), rejected=pl.when(~is_like).then("rejected")
    ).drop("index")
    alone.write_parquet(tmp_path / "alone.parquet")
    overrides = [*settings, f"data.pairs={tmp_path / 'alone.parquet'}"]
    with pytest.raises(SeqRecError, match=r"pairs are a like or a dislike alone.*kto"):
        seqrec.train("dpo", data=tastes.data, out=tmp_path / "run", overrides=overrides)
    overrides += ["objective.loss={name: kto}", "trainer.max_epochs=2"]
    with pytest.raises(SeqRecError, match="no pair is held out that has both answers"):
        seqrec.train("dpo", data=tastes.data, out=tmp_path / "run", overrides=overrides)
    assert not any(tmp_path.glob("run*"))
    overrides += ["trainer.selection_metric=ndcg@10"]
    result = seqrec.train("dpo", data=tastes.data, out=tmp_path / "run", overrides=overrides)
    assert result["num_epochs"] == 2
    watched = {"chosen_ratio_nats", "kl_nats"}
    for found in (result["validation_before"], result["validation"]):
        assert watched <= set(found) and not {"pair_accuracy", "pair_margin_nats"} & set(found)
    assert lines(tmp_path / "run")[-1]["val/chosen_ratio_nats"] != 0
    assert "NaN" not in (tmp_path / "run" / "log.jsonl").read_text()


def test_slates_go_all_the_way_but_for_those_of_unknown_titles(tastes, settings, tmp_path, capsys):
    table = pl.read_parquet(tastes.pairs)
    titles = table["chosen"].unique().sort()
    slates = table.with_columns(
        chosen=pl.concat_list("chosen", pl.lit(titles[0])),
        rejected=pl.concat_list(pl.col("rejected").list.first(), pl.lit(titles[1])),
    )
    strange = slates[:1].with_columns(chosen=pl.lit(["never", "made"]))
    pl.concat([slates, strange]).write_parquet(tmp_path / "slates.parquet")
    overrides = [*settings, f"data.pairs={tmp_path / 'slates.parquet'}", "trainer.max_epochs=2"]
    result = seqrec.train("dpo", data=tastes.data, out=tmp_path / "run", overrides=overrides)
    assert result["validation"]["pair_accuracy"] > result["validation_before"]["pair_accuracy"]
    said = capsys.readouterr().err.splitlines()[0]
    assert f"slates.parquet: rows: {len(slates) + 1:,}, unknown ids: 1 (such as 'never')" in said


def test_sft_goes_on_from_a_model_with_its_own_keys(tastes, tmp_path):
    overrides = [f"model.from_pretrained={tastes.sft}", "trainer.max_epochs=1"]
    overrides += ["model.hidden_size=32", "trainer.learning_rate=1e-9", "data.batch_size=16"]
    seqrec.train("sft", data=tastes.data, out=tmp_path / "more", overrides=overrides)
    one, other = (
        load_file(run / "model" / "model.safetensors") for run in (tmp_path / "more", tastes.sft)
    )
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=1e-4, atol=1e-5)
    again = tmp_path / "more" / "config.yaml"
    seqrec.train(again, data=tastes.data, out=tmp_path / "again")


REFUSED = {
    "model.hidden_size: the model in .* has 32": ["model.hidden_size=64"],
    "model.transition_prior: the model in .* has none": ["model.transition_prior={}"],
    "reads 24 items": ["data.max_length=50"],
    "no such model folder": ["model.from_pretrained=nowhere"],
    "model.from_pretrained: missing": ["model.from_pretrained=null"],
    "data.pairs: missing": ["data.pairs=null"],
    "no such file": ["data.pairs=nowhere.parquet"],
    "objective.reference=nowhere: no such model folder": ["objective.reference=nowhere"],
    "holds no log-probabilities": ["objective.reference=PAIRS"],
    "no pair is held out": ["data.held_out_share=1e-9"],
}


@pytest.mark.parametrize(("complaint", "more"), REFUSED.items())
def test_mistakes_are_one_line_and_write_nothing(tastes, settings, tmp_path, complaint, more):
    overrides = [*settings, *(text.replace("PAIRS", str(tastes.pairs)) for text in more)]
    with pytest.raises(SeqRecError, match=complaint) as mistake:
        seqrec.train("dpo", data=tastes.data, out=tmp_path / "run", overrides=overrides)
    assert "\n" not in str(mistake.value)
    assert not any(tmp_path.glob("run*"))


def test_a_model_and_a_reference_of_another_catalog_are_refused(tastes, settings, tmp_path):
    seqrec.prepare(tastes.world.simulate(60, 10, seed=5), out=tmp_path / "other", min_item=8)
    with pytest.raises(SeqRecError, match="another catalog"):
        seqrec.train("dpo", data=tmp_path / "other", out=tmp_path / "run", overrides=settings)
    quick = ["trainer.max_epochs=1", "model.hidden_size=32", "data.max_length=24"]
    seqrec.train("sft", data=tmp_path / "other", out=tmp_path / "sft", overrides=quick)
    overrides = [*settings, f"objective.reference={tmp_path / 'sft'}"]
    with pytest.raises(SeqRecError, match="another catalog"):
        seqrec.train("dpo", data=tastes.data, out=tmp_path / "run", overrides=overrides)
