"""Distillation: what a student's batch loses, how it goes on, and runs from end to end."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch

import seqrec
from seqrec.builders.named_models import open_recommender
from seqrec.data.caches.teacher import CACHE_FILE, shard_name
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.losses.divergence import catalog_divergence
from seqrec.models import SeqRecForNextItem
from seqrec.models.ensemble import EnsembleConfig
from seqrec.objectives.distillation import check_learns_all_items
from seqrec.objectives.serving_costs import non_embedding_parameters
from seqrec.runs import teacher_cache as answer_cache
from seqrec.training.steps.distillation import (
    Continuation,
    Teachers,
    continue_histories,
    distillation_loss,
    unexplained_share,
)
from seqrec.training.tensors import PackedTensors
from tests.conftest import small_config

QUICK = [
    "data.max_length=20",
    "trainer.accelerator=cpu",
    "trainer.precision=float32",
    "trainer.learning_rate=0.01",
]
LARGE = [*QUICK, "model.hidden_size=32", "model.num_hidden_layers=2", "trainer.max_epochs=6"]
SMALL = [*QUICK, "model.hidden_size=16", "model.num_hidden_layers=1", "trainer.max_epochs=14"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distillation")
    log = first_order_world(num_items=40, seed=0).simulate(150, 14, seed=1)
    data = seqrec.prepare(log, out=folder / "data")["out"]
    teacher = seqrec.train("sft", data=data, out=folder / "teacher", overrides=LARGE)["out"]
    student = seqrec.train("sft", data=data, out=folder / "student", overrides=SMALL)["out"]
    return folder, data, teacher, student


def distill(world, out, *overrides, **more):
    _, data, teacher, _ = world
    settings = [*SMALL, f"objective.teachers=[{teacher}]", *overrides]
    return seqrec.train("distill", data=data, out=out, overrides=settings, **more)


def packed(model):
    """Two rows: windows of 6 and 3 titles, then padding; one of 10."""
    first = model.config.first_item_token
    generator = np.random.default_rng(0)
    items = torch.from_numpy(generator.integers(0, 40, (2, 10)))
    documents = torch.tensor([[1] * 6 + [2] * 3 + [0], [1] * 10])
    labels = torch.from_numpy(generator.integers(0, 40, (2, 10)))
    labels = labels.where(documents > 0, IGNORE_INDEX)
    weight = (labels != IGNORE_INDEX).float()
    input_ids = (items + first).where(documents > 0, 0)
    return PackedTensors(input_ids, documents, labels, weight, float(weight.sum()))


def test_the_loss_is_the_sum_that_it_says(world):
    _, data, teacher, student = world
    models = [open_recommender(path).model.eval() for path in (student, teacher)]
    batch = packed(models[0])
    log_p, log_q, states = [], [], []
    for model, found in zip(models, (log_p, log_q), strict=True):
        hidden = model.hidden_states(batch.input_ids, batch.documents)[batch.labels >= 0]
        states.append(hidden)
        found.append((hidden @ model.item_weight().T).log_softmax(1))
    (log_p,), (log_q,) = log_p, log_q
    labels = batch.labels[batch.labels >= 0]
    divergence = (log_q.exp() * (log_q - log_p)).sum(1).mean()
    entropy = -log_p.gather(1, labels[:, None]).mean()
    missed = unexplained_share(*states)
    wanted = 0.75 * (0.8 * divergence + 0.2 * entropy) + 0.25 * missed
    found = distillation_loss(
        models[0],
        batch,
        teachers=Teachers(models[1:]),
        divergence=partial(catalog_divergence, kind="forward_kl", temperature=1.0),
        sft_share=0.2,
        state_share=0.25,
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_members_learn_each_for_itself(world, tmp_path):
    _, data, teacher, _ = world
    settings = [*SMALL, "model.num_members=2", "trainer.max_epochs=1"]
    run = seqrec.train("sft", data=data, out=tmp_path / "two", overrides=settings)["out"]
    model, guide = (open_recommender(path).model.eval() for path in (run, teacher))
    batch = packed(model)
    is_learned = batch.labels >= 0
    theirs = guide.hidden_states(batch.input_ids, batch.documents)[is_learned]
    log_q = (theirs @ guide.item_weight().T).log_softmax(1)
    hidden = model.hidden_states(batch.input_ids, batch.documents)[is_learned]
    wanted = []
    for states, vectors in zip(hidden.chunk(2, 1), model.item_weight().chunk(2, 1), strict=True):
        log_p = (2 * states @ vectors.T).log_softmax(1)
        wanted.append((log_q.exp() * (log_q - log_p)).sum(1).mean())
    found = distillation_loss(
        model, batch, teachers=Teachers([guide]), divergence=catalog_divergence, sft_share=0.0
    )
    torch.testing.assert_close(found, torch.stack(wanted).mean())


@pytest.mark.parametrize("head", ["tied", "untied"])
def test_parameters_beside_the_tables_are_counted_by_hand_in_every_member(head):
    config = small_config("llama", head)
    alone = SeqRecForNextItem(config)
    a_layer = 4 * 32 * 32 + 3 * 32 * 64 + 2 * 32  # attention, feed-forward, norms
    assert non_embedding_parameters(alone) == 2 * a_layer + 32
    config.backbone_config = EnsembleConfig(member_config=config.backbone_config, num_members=3)
    together = SeqRecForNextItem(config)
    assert non_embedding_parameters(together) == 3 * (2 * a_layer + 32)


def test_states_of_a_linear_function_are_explained_and_noise_is_not():
    states = torch.randn(400, 8)
    assert unexplained_share(states, states @ torch.randn(8, 20)) < 1e-3
    assert unexplained_share(states, torch.randn(400, 20)) > 0.9
    half = torch.cat([states[:, :1], torch.randn(400, 1)], dim=1)
    assert unexplained_share(states, half) == pytest.approx(0.5, abs=0.1)


def test_histories_are_continued_where_they_are_long_enough_and_nowhere_else(world):
    model = open_recommender(world[3]).model.train()
    batch = packed(model)
    seen = set()
    for seed in range(60):
        torch.manual_seed(seed)
        found, place = continue_histories(model, batch, Continuation(3, 1.0, 1.0))
        assert model.training and len(place) == 6  # the window of 3 has no room
        is_changed = (found.input_ids != batch.input_ids).flatten().nonzero().squeeze(1)
        assert set(is_changed.tolist()) <= set(place.tolist())
        rows, columns = place // 10, place % 10
        assert (batch.documents[rows, columns] == 1).all()
        assert (columns.view(2, 3).diff(dim=1) == 1).all() and (columns >= 1).all()
        seen |= {tuple(pair) for pair in columns.view(2, 3)[:, 0].unsqueeze(0).tolist()}
    short, long = ({pair[row] for pair in seen} for row in (0, 1))
    assert short == {1, 2, 3} and long == set(range(1, 8))


def test_continued_titles_follow_the_students_distribution(world):
    model = open_recommender(world[3]).model.eval()
    first = model.config.first_item_token
    num = 4000
    batch = PackedTensors(
        torch.tensor([[first + 5, first]]).repeat(num, 1),
        torch.ones(num, 2, dtype=torch.long),
        torch.zeros(num, 2, dtype=torch.long),
        torch.ones(num, 2),
        2.0 * num,
    )
    torch.manual_seed(0)
    found, _ = continue_histories(model, batch, Continuation(1, 0.7, 1.0))
    counts = torch.bincount(found.input_ids[:, 1] - first, minlength=40).double() / num
    logits = model(batch.input_ids[:1, :1]).logits[0].double() / 0.7
    assert (counts - logits.softmax(0)).abs().max() < 4 * (0.25 / num) ** 0.5


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["objective.loss={name: reverse_kl, temperature: 2}"],
        ["objective.loss={name: jensen_shannon}", "objective.state_share=0.2"],
        ["objective.on_policy={num_items: 2, share: 0.3}"],
    ],
    ids=["forward", "reverse", "jensen-shannon and states", "on policy"],
)
def test_a_student_comes_nearer_to_its_teacher_than_one_that_only_saw_the_log(
    world, tmp_path, more
):
    _, data, teacher, student = world
    result = distill(world, tmp_path / "run", *more, "objective.sft_share=0")
    serving = result["details"]["serving"]
    assert list(serving) == ["student", str(teacher)]
    small, large = serving.values()
    assert small["non_embedding_parameters"] < large["non_embedding_parameters"] / 4
    assert 0 < small["p50_ms"] <= small["p99_ms"] and small["megabytes"] < large["megabytes"]
    model = open_recommender(teacher).model.eval()
    batch = packed(model)
    distances = []
    for run in (student, tmp_path / "run"):
        own = open_recommender(run).model.eval()
        log_p, log_q = (
            (m.hidden_states(batch.input_ids, batch.documents) @ m.item_weight().T).log_softmax(-1)
            for m in (own, model)
        )
        distances.append(float((log_q.exp() * (log_q - log_p)).sum(-1).mean()))
    assert distances[1] < 0.5 * distances[0]


def test_a_cache_of_everything_teaches_as_the_teacher_does(world, tmp_path, monkeypatch):
    _, data, teacher, _ = world
    made = seqrec.cache(teacher, data=data, out=tmp_path / "cache", k=40, max_length=20)
    assert made["bytes"] <= made["foreseen_bytes"] + 4096 * (made["parts"] + 1)
    distill(world, tmp_path / "live")
    more = [f"objective.cache={tmp_path / 'cache'}"]
    with monkeypatch.context() as patch:
        patch.setattr(
            "seqrec.objectives.distillation.open_teachers", None
        )  # they are not read to learn
        cached = distill(world, tmp_path / "cached", *more)
    losses = [
        [json.loads(line)["train/loss_nats"] for line in (run / "log.jsonl").open()]
        for run in (tmp_path / "live", tmp_path / "cached")
    ]
    np.testing.assert_allclose(*losses, rtol=2e-3)
    assert cached["details"]["cache"] == {"positions": made["positions"], "k": 40}
    assert list(cached["details"]["serving"]) == ["student", str(teacher)]


def test_a_memory_is_taught_and_teaches_live_and_from_a_cache(world, tmp_path):
    """Answers hold what the teacher's memory adds, asked as if it had not met the target."""
    _, data, _, _ = world
    teacher = tmp_path / "teacher"
    settings = [*LARGE, "model.transition_prior={strength: 0.7}", "trainer.max_epochs=2"]
    seqrec.train("sft", data=data, out=teacher, overrides=settings)
    seqrec.cache(teacher, data=data, out=tmp_path / "cache", k=40, max_length=20)
    taught = [
        f"objective.teachers=[{teacher}]",
        "model.transition_prior={}",
        "trainer.max_epochs=2",
    ]
    losses, strengths = [], []
    for name, more in (("live", []), ("cached", [f"objective.cache={tmp_path / 'cache'}"])):
        distill(world, tmp_path / name, *taught, *more)
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["train/loss_nats"] for line in lines])
        config = json.loads((tmp_path / name / "model" / "config.json").read_text())
        strengths.append(config["transition_prior"]["strength"])
    np.testing.assert_allclose(*losses, rtol=2e-3)
    assert strengths == [0.7, 0.7]  # what the teacher's memory tells need not be learned
    distill(world, tmp_path / "own", *taught, "model.transition_prior={strength: 0.2}")
    config = json.loads((tmp_path / "own" / "model" / "config.json").read_text())
    assert config["transition_prior"]["strength"] == 0.2
    again = [*taught[:2], f"model.from_pretrained={tmp_path / 'own'}", "trainer.max_epochs=1"]
    seqrec.train("distill", data=data, out=tmp_path / "again", overrides=again)
    config = json.loads((tmp_path / "again" / "model" / "config.json").read_text())
    assert config["transition_prior"]["strength"] == 0.7


def test_a_students_memory_without_a_teachers_is_chosen_on_validation(world, tmp_path):
    metrics = distill(world, tmp_path / "run", "model.transition_prior={}", "trainer.max_epochs=1")
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    alone = json.loads(lines[-1])["val/ndcg@10"]
    assert metrics["validation"]["ndcg@10"] >= alone
    assert "prior_strength" in metrics["details"]


def test_who_reads_both_ways_teaches_prefixes_alone(world, tmp_path):
    _, data, _, _ = world
    teacher = tmp_path / "teacher"
    short = [*LARGE, "trainer.max_epochs=1", "data.windows=prefixes"]
    seqrec.train("sft", data=data, out=teacher, overrides=[*short, "model.causal=false"])
    taught = [f"objective.teachers=[{teacher}]", "trainer.max_epochs=1"]
    with pytest.raises(SeqRecError, match="would read the targets; take prefixes"):
        distill(world, tmp_path / "run", *taught)
    with pytest.raises(SeqRecError, match="would read the targets; take prefixes"):
        seqrec.cache(teacher, data=data, out=tmp_path / "cache", k=5)
    starts = ["trainer.max_epochs=1", f"model.from_pretrained={teacher}"]
    with pytest.raises(SeqRecError, match="would read the targets; take prefixes"):
        seqrec.train("sft", data=data, out=tmp_path / "run", overrides=starts)
    assert not list(tmp_path.glob("run*")) and not list(tmp_path.glob("cache*"))
    distill(world, tmp_path / "run", *taught, "data.windows=prefixes")
    own_titles = ["data.windows=prefixes", "objective.on_policy={num_items: 2, share: 0.5}"]
    _, data, causal, _ = world
    overrides = [*starts, *own_titles, f"objective.teachers=[{causal}]"]
    with pytest.raises(SeqRecError, match="also reads the items after a position; name a model"):
        seqrec.train("distill", data=data, out=tmp_path / "on", overrides=overrides)
    both_ways = [*own_titles, f"objective.teachers=[{teacher}]", "trainer.max_epochs=1"]
    with pytest.raises(SeqRecError, match="also reads the items after a position .*; name another"):
        distill(world, tmp_path / "on", *both_ways)
    assert not list(tmp_path.glob("on*"))


def test_titles_that_a_student_does_not_learn_are_left_out_of_all_distributions():
    student = SeqRecForNextItem(small_config(content={"content_width": 5}))
    student.get_input_embeddings().load_content(
        torch.randn(100, 5), (torch.arange(100) < 90).long()
    )
    teacher, student = SeqRecForNextItem(small_config()).eval(), student.eval()
    batch = packed(student)
    states = [m.hidden_states(batch.input_ids, batch.documents) for m in (student, teacher)]
    log_p, log_q = (
        (state[batch.labels >= 0] @ model.item_weight()[:90].T).log_softmax(1)
        for state, model in zip(states, (student, teacher), strict=True)
    )
    found = distillation_loss(
        student,
        batch,
        teachers=Teachers([teacher]),
        divergence=catalog_divergence,
        sft_share=0.0,
        continuation=Continuation(3, 1.0, 0.0),
    )
    torch.testing.assert_close(found, (log_q.exp() * (log_q - log_p)).sum(1).mean())
    with pytest.raises(SeqRecError, match="does not learn the 10 items without training"):
        check_learns_all_items(student)
    check_learns_all_items(teacher)


def test_who_learned_from_other_data_is_named_also_behind_a_cache(world, tmp_path):
    _, _, teacher, _ = world
    same = first_order_world(num_items=40, seed=0).simulate(150, 14, seed=1)
    data = seqrec.prepare(same.head(-1), out=tmp_path / "shorter")["out"]
    cache = seqrec.cache(teacher, data=data, out=tmp_path / "cache")
    assert cache["k"] == 40
    short = [*SMALL, "trainer.max_epochs=1"]
    for name, how in (("live", f"teachers=[{teacher}]"), ("cached", f"cache={cache['out']}")):
        overrides = [*short, f"objective.{how}"]
        run = seqrec.train("distill", data=data, out=tmp_path / name, overrides=overrides)["out"]
        notes = seqrec.evaluate(run, data=data)["notes"]
        assert any("by way of" in note and "from other data" in note for note in notes)


def test_costs_of_a_teacher_of_any_name_and_without_validation(tmp_path, monkeypatch):
    log = first_order_world(num_items=40, seed=0).simulate(50, 8, seed=1)
    data = seqrec.prepare(log, out=tmp_path / "data", split_by="none")["out"]
    monkeypatch.chdir(tmp_path)
    short = [*SMALL, "trainer.max_epochs=1"]
    seqrec.train("sft", data=data, out="student", overrides=[*short, "model.hidden_size=32"])
    short.append("objective.teachers=[student]")
    made = seqrec.train("distill", data=data, out="run", overrides=short)["details"]["serving"]
    assert made["student"]["parameters"] < made["./student"]["parameters"]
    assert "p50_ms" not in made["student"]


@pytest.mark.parametrize("windows", ["windows=prefixes", "windows=last", "stride=3"])
def test_a_cache_is_asked_at_the_students_windows(world, tmp_path, windows):
    """All titles are kept: the first loss is that of the live teacher."""
    _, data, teacher, _ = world
    key, _, value = windows.partition("=")
    made = {key: int(value) if value.isdigit() else value, "max_length": 6}
    seqrec.cache(teacher, data=data, out=tmp_path / "cache", k=40, **made)
    losses = []
    for name, more in (("live", []), ("cached", [f"objective.cache={tmp_path / 'cache'}"])):
        short = ["data.max_length=6", "trainer.max_epochs=1", f"data.{windows}"]
        distill(world, tmp_path / name, *short, *more)
        losses.append(json.loads((tmp_path / name / "log.jsonl").read_text())["train/loss_nats"])
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def test_a_cache_reads_what_all_its_teachers_read(world, tmp_path):
    _, data, teacher, _ = world
    settings = [*SMALL, "data.max_length=8", "trainer.max_epochs=1"]
    short = seqrec.train("sft", data=data, out=tmp_path / "short", overrides=settings)["out"]
    seqrec.cache([teacher, short], data=data, out=tmp_path / "cache", k=2)
    assert json.loads((tmp_path / "cache" / CACHE_FILE).read_text())["max_length"] == 8


def test_teachers_of_other_architectures_and_widths_teach_together(world, tmp_path):
    """Live, or from a cache of everything, which holds the mean of their answers."""
    _, data, _, _ = world
    teachers = []
    for block, width in (("hstu", 8), ("sasrec", 24)):
        settings = [*SMALL, f"model.block={block}", f"model.hidden_size={width}"]
        settings.append("trainer.max_epochs=1")
        out = tmp_path / block
        teachers.append(str(seqrec.train("sft", data=data, out=out, overrides=settings)["out"]))
    seqrec.cache(teachers[::-1], data=data, out=tmp_path / "cache", k=40)
    named = f"objective.teachers={teachers}"
    runs = {"live": [], "cached": [f"objective.cache={tmp_path / 'cache'}"]}
    losses = []
    for name, more in runs.items():
        settings = [named, "model.block=llama", "trainer.max_epochs=1", "objective.sft_share=0"]
        result = distill(world, tmp_path / name, *settings, *more)
        assert list(result["details"]["serving"]) == ["student", *teachers]
        losses.append(json.loads((tmp_path / name / "log.jsonl").read_text())["train/loss_nats"])
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def test_a_student_is_exported_and_asked_as_any_model(world, tmp_path):
    distill(world, tmp_path / "run", "trainer.max_epochs=1")
    seqrec.export(tmp_path / "run", to="numpy", out=tmp_path / "vectors")
    rec = seqrec.Recommender.from_pretrained(tmp_path / "run")
    vectors = np.load(tmp_path / "vectors" / "items" / "vectors.npy")
    np.testing.assert_array_equal(vectors, rec.item_embeddings())
    history = rec.item_ids[:3]
    scores = vectors @ rec.embed([history])[0]
    scores[:3] = -np.inf
    assert rec.recommend([history], k=1)[0][0][0] == rec.item_ids[int(scores.argmax())]


def test_every_seed_may_have_a_teacher_of_its_own(world, tmp_path):
    _, data, teacher, _ = world
    for seed in (3, 4):
        (tmp_path / f"teacher-{seed}").symlink_to(teacher)
    named = f"objective.teachers=[{tmp_path}/teacher-{{seed}}]"
    settings = [*SMALL, named, "trainer.max_epochs=1"]
    seqrec.train("distill", data=data, out=tmp_path / "runs", overrides=settings, seeds=[3, 4])
    for seed in (3, 4):
        config = (tmp_path / "runs" / f"seed-{seed}" / "config.yaml").read_text()
        assert f"{tmp_path}/teacher-{seed}" in config


def test_a_run_is_not_resumed_under_other_teachers_or_another_cache(world, tmp_path):
    _, data, teacher, student = world
    shutil.copytree(teacher, tmp_path / "teacher")
    seqrec.cache(teacher, data=data, out=tmp_path / "cache", k=3)
    live = [*SMALL, f"objective.teachers=[{tmp_path}/teacher]", "trainer.max_epochs=1"]
    cached = [*SMALL, f"objective.cache={tmp_path}/cache", "trainer.max_epochs=1"]
    arguments = {"live": live, "cached": cached}
    for name, overrides in arguments.items():
        seqrec.train("distill", data=data, out=tmp_path / name, overrides=overrides)
        seqrec.train("distill", data=data, out=tmp_path / name, overrides=overrides, resume=True)
    shutil.rmtree(tmp_path / "teacher")
    shutil.copytree(student, tmp_path / "teacher")
    seqrec.cache(teacher, data=data, out=tmp_path / "cache", k=4, overwrite=True)
    for name, overrides in arguments.items():
        with pytest.raises(SeqRecError, match="provenance.*(fingerprint_of|cache).* differs"):
            out = tmp_path / name
            seqrec.train("distill", data=data, out=out, overrides=overrides, resume=True)


def killed(monkeypatch, name, number, **arguments):
    """A cache whose process ends when it calls a function of its job after some calls."""
    real, left = getattr(answer_cache, name), iter(range(number))

    def dying(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(answer_cache, name, dying)
        seqrec.cache(**arguments)


def test_a_killed_cache_goes_on_and_ends_equal(world, tmp_path, monkeypatch):
    _, data, teacher, _ = world
    monkeypatch.setattr(answer_cache, "SHARD_ROWS", 4)
    whole = seqrec.cache(teacher, data=data, out=tmp_path / "whole", k=5)
    assert whole["bytes"] <= whole["foreseen_bytes"]
    cut = {"models": teacher, "data": data, "out": tmp_path / "cut", "k": 5}
    killed(monkeypatch, "write_shard", 2, **cut)
    assert not (tmp_path / "cut").exists()
    by_cache = ["objective.teachers=[]", f"objective.cache={tmp_path / 'cut.partial'}"]
    with pytest.raises(SeqRecError, match="missing or cut short; write the cache again"):
        distill(world, tmp_path / "run", *by_cache)
    killed(monkeypatch, "swap_in", 0, **cut)
    result = seqrec.cache(**cut)
    assert result["parts_resumed"] == result["parts"] > 3
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "cut" / file.name).read_bytes()


def test_a_cache_asks_for_the_room_that_is_still_to_be_filled(world, tmp_path, monkeypatch):
    _, data, teacher, _ = world
    monkeypatch.setattr(answer_cache, "SHARD_ROWS", 16)
    foreseen = seqrec.cache(teacher, data=data, out=tmp_path / "made", k=5)["foreseen_bytes"]
    cut = {"models": teacher, "data": data, "out": tmp_path / "deep" / "cut", "k": 5}
    monkeypatch.setattr(answer_cache, "free_bytes", lambda _: foreseen - 1)
    with pytest.raises(SeqRecError, match="needs up to .* MB, .* are free; free some or lower"):
        seqrec.cache(**cut)
    assert not (tmp_path / "deep").exists()
    with monkeypatch.context() as patch:
        patch.setattr(answer_cache, "free_bytes", lambda _: foreseen)
        killed(patch, "write_shard", 1, **cut)
    assert seqrec.cache(**cut)["parts_resumed"] == 1


def test_parts_of_other_settings_are_begun_anew_where_that_is_asked_for(
    world, tmp_path, monkeypatch
):
    _, data, teacher, _ = world
    cut = {"models": teacher, "data": data, "out": tmp_path / "cut", "k": 5}
    killed(monkeypatch, "swap_in", 0, **cut)
    header = tmp_path / "cut.partial" / CACHE_FILE
    with pytest.raises(SeqRecError, match="--overwrite to start again"):
        seqrec.cache(**{**cut, "k": 6})
    header.write_text(header.read_text()[:40])
    with pytest.raises(SeqRecError, match="--overwrite to start again"):
        seqrec.cache(**cut)
    assert seqrec.cache(**cut, overwrite=True)["parts_resumed"] == 0


def test_bad_input_is_one_line_and_writes_nothing(world, tmp_path):
    _, data, teacher, student = world
    cache = tmp_path / "cache"
    seqrec.cache([teacher, student], data=data, out=cache, k=5)
    by_cache = ["objective.teachers=[]", f"objective.cache={cache}"]
    (tmp_path / "seeds" / "seed-0" / "model").mkdir(parents=True)
    for overrides, message in (
        (["objective.teachers=[]"], "teachers: none"),
        (["objective.teachers=[nowhere]"], "nowhere: no such model folder"),
        (["objective.loss={name: forward_kl, temperature: 0}"], "temperature.*greater than 0"),
        (["data.max_length=30"], "reads 20 items of a history"),
        ([f"objective.cache={cache}"], "was made by other teachers"),
        ([*by_cache, "data.max_length=10"], "windows of another length"),
        ([*by_cache, "data.windows=last"], "other windows"),
        ([*by_cache, "objective.loss={name: reverse_kl}"], "cache goes with loss forward_kl"),
        ([f"objective.teachers=[{tmp_path / 'seeds'}]"], "seeds: holds runs of several seeds"),
        (["objective.use_tail_mass=false"], "use_tail_mass goes with a cache"),
    ):
        with pytest.raises(SeqRecError, match=message) as mistake:
            distill(world, tmp_path / "run", *overrides)
        assert "\n" not in str(mistake.value)
    other = first_order_world(num_items=41, seed=0).simulate(100, 12, seed=3)
    seqrec.prepare(other, out=tmp_path / "other")
    with pytest.raises(SeqRecError, match="another catalog"):
        seqrec.train(
            "distill",
            data=tmp_path / "other",
            out=tmp_path / "run",
            overrides=[*SMALL, f"objective.teachers=[{teacher}]"],
        )
    same = first_order_world(num_items=40, seed=0).simulate(150, 14, seed=1)
    seqrec.prepare(same.head(-1), out=tmp_path / "shorter")
    for other, message in (("shorter", "made on other data"), ("other", "for another catalog")):
        arguments = {"data": tmp_path / other, "out": tmp_path / "run"}
        with pytest.raises(SeqRecError, match=message):
            seqrec.train("distill", **arguments, overrides=[*SMALL, by_cache[1]])
    shard = cache / shard_name(0)
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(SeqRecError, match="cut short"):
        distill(world, tmp_path / "run", *by_cache)
    (cache / "cache.json").write_text(json.dumps({"kind": "pairs"}))
    with pytest.raises(SeqRecError, match="holds no teacher's log-probabilities"):
        distill(world, tmp_path / "run", *by_cache)
    for arguments, message in (
        ({"k": 0}, "--k 0"),
        ({"windows": "some"}, "--windows some: choose from last, all, prefixes"),
        ({"max_length": 21}, "--max-length 21: the models read 1 to 20 items"),
        ({"max_length": 0}, "--max-length 0: the models read 1 to 20 items"),
        ({"stride": 21}, "--stride 21: 1 to 20"),
        ({"stride": 5, "windows": "last"}, "with --windows all alone"),
    ):
        with pytest.raises(SeqRecError, match=message):
            seqrec.cache(teacher, data=data, out=tmp_path / "run", **{"k": 5, **arguments})
    assert not (tmp_path / "run").exists() and not (tmp_path / "run.partial").exists()
