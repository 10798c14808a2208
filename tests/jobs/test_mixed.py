"""Texts that name items, from end to end: both heads learn, answer, and load elsewhere."""

import json
import math
import random
import subprocess
import sys

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM

import seqrec
from seqrec import Recommender
from seqrec.errors import SeqRecError
from seqrec.models.two_heads import HEAD_FILE, HEAD_WEIGHTS
from tests.families import save_tiny
from tests.language import build_byte_tokenizer, tiny_llama

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}"
)
NUM_ITEMS, LIKELY = 6, 0.8
KINDS, LETTERS = "xyz", "abcd"
ITEM_NATS = -LIKELY * math.log(LIKELY) - (1 - LIKELY) * math.log(1 - LIKELY)
WORD_NATS = math.log(len(LETTERS)) / 2
"""The entropy of a letter out of four, and of the end token after it, which is certain."""
QUICK = {
    "data.row_length": 256,
    "data.max_length": 100,
    "model.tuning": {"name": "full"},
    "model.initial_vectors": "random",
    "trainer.learning_rate": 0.01,
    "trainer.max_epochs": 5,
    "trainer.patience": 5,
    "trainer.accumulate_batches": 1,
    "trainer.precision": "float32",
    "trainer.sample_steps": 40,
    "trainer.sample_tokens": 4,
}


def best(item, kind):
    return (5 * item + 2 * kind + 1) % NUM_ITEMS


def other(item, kind):
    return (5 * item + 2 * kind + 4) % NUM_ITEMS


def asks(item, kind):
    return f"<item:t{item}> {KINDS[kind]}"


def chat(generator, num_turns=4):
    """Requests for items of some kind, and the answers: an item, and a letter at random."""
    messages = []
    for _ in range(num_turns):
        item, kind = generator.randrange(NUM_ITEMS), generator.randrange(len(KINDS))
        following = best if generator.random() < LIKELY else other
        answer = f"<item:t{following(item, kind)}>{generator.choice(LETTERS)}"
        messages.append({"role": "user", "content": asks(item, kind)})
        messages.append({"role": "assistant", "content": answer})
    return {"messages": messages}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Chats, a log of the same items, and a language model that knows nothing."""
    folder, generator = tmp_path_factory.mktemp("world"), random.Random(0)
    lines = [json.dumps(chat(generator)) for _ in range(400)]
    (folder / "chats.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "few.jsonl").write_text("\n".join(lines[:40]) + "\n")
    rows = [
        (user, f"t{(user + step) % NUM_ITEMS}", step) for user in range(30) for step in range(6)
    ]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(folder / "log.csv")
    seqrec.prepare(folder / "log.csv", out=folder / "data")
    tiny_llama().save_pretrained(folder / "base")
    build_byte_tokenizer(TEMPLATE).save_pretrained(folder / "base")
    return folder


def train(world, out, data="chats.jsonl", **changes):
    overrides = {
        **QUICK,
        "data.catalog": str(world / "data"),
        "model.backbone": str(world / "base"),
        **changes,
    }
    return seqrec.train("mixed-sft", data=world / data, out=out, overrides=overrides)


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    return train(world, tmp_path_factory.mktemp("run") / "mixed", **{"data.histories_share": 0.01})


def log_lines(run):
    return [json.loads(line) for line in open(f"{run['run']}/log.jsonl", encoding="utf-8")]


def test_both_heads_reach_the_entropy_of_the_world(run):
    """The word decides the next item, up to a coin; letters are drawn evenly."""
    found, lines = run["validation"], log_lines(run)
    assert run["details"]["examples"] + run["details"]["held_out_examples"] == 400 + 4
    assert found["word_loss_nats"] == pytest.approx(WORD_NATS, abs=0.03)
    assert found["item_loss_nats"] == pytest.approx(ITEM_NATS, abs=0.12)
    assert found["perplexity"] == pytest.approx(math.exp(found["word_loss_nats"]))
    assert lines[-1]["train/item_loss_nats"] == pytest.approx(ITEM_NATS, abs=0.12)
    assert lines[-1]["train/word_loss_nats"] == pytest.approx(WORD_NATS, abs=0.03)
    assert lines[0]["train/item_loss_nats"] > 1


def test_items_are_recommended_for_texts_histories_and_both(run):
    recommender = Recommender.from_pretrained(run["run"])
    for item in range(NUM_ITEMS):
        for kind in range(len(KINDS)):
            text, wanted = asks(item, kind), best(item, kind)
            (((first, _), *_),) = recommender.recommend(text=text, k=5, exclude_seen=False)
            assert first == f"t{wanted}"
            assert recommender.generate(text)[:-1] == f"<item:t{wanted}>"
            assert recommender.generate(text)[-1] in LETTERS
    lists = recommender.recommend(text=[asks(0, 0), asks(2, 1)], k=2)
    assert len(lists) == 2 and all("t0" not in [one for one, _ in lists[0]] for _ in lists)
    conversation = [{"role": "user", "content": asks(0, 0)}]
    assert recommender.recommend(text=conversation, k=3) == recommender.recommend(
        text=asks(0, 0), k=3
    )
    alone = recommender.recommend([["t1", "t2"]], k=3)
    assert len(alone[0]) == 3
    both = recommender.recommend([["t1"], []], text=asks(0, 0), k=3, exclude=["t2"])
    assert len(both) == 2 and not {"t0", "t1", "t2"} & {one for one, _ in both[0]}
    texts = f"<item:t1>\n{asks(0, 0)}", asks(0, 0)
    for found, text in zip(both, texts, strict=True):
        (ids, scores), (expected, by_hand) = (
            zip(*one, strict=True)
            for one in (found, *recommender.recommend(text=text, k=3, exclude=["t2"]))
        )
        assert ids == expected and scores == pytest.approx(by_hand, abs=1e-4)
    assert recommender.generate(asks(0, 0), [["t1"], []])[1] == recommender.generate(asks(0, 0))


def test_the_folder_is_a_language_models_where_seqrec_is_not_installed(run):
    script = (
        "import sys; sys.modules['seqrec'] = None\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f"model = AutoModelForCausalLM.from_pretrained({run['model']!r})\n"
        f"words = AutoTokenizer.from_pretrained({run['model']!r})\n"
        f"chat = [{{'role': 'user', 'content': {asks(3, 1)!r}}}]\n"
        "tokens = words.apply_chat_template(chat, add_generation_prompt=True, "
        "return_tensors='pt', return_dict=True)\n"
        "found = model.generate(**tokens, max_new_tokens=60, do_sample=False)\n"
        "print(words.decode(found[0, tokens['input_ids'].shape[1]:], skip_special_tokens=True))\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == Recommender.from_pretrained(run["run"]).generate(asks(3, 1))


def test_the_verb_answers_with_items_and_with_words(run, capsys):
    found = seqrec.recommend(run["run"], text=f"{asks(1, 2)}<item:none>", k=2)
    assert found["unknown_items"] == ["none"] and len(found["recommendations"]) == 2
    found = seqrec.recommend(run["run"], text=asks(1, 2), words=20)
    assert found["answer"][:-1] == f"<item:t{best(1, 2)}>"
    assert found["shown"][:-1] == f"t{best(1, 2)}"
    with pytest.raises(SeqRecError, match="--words: goes with --text"):
        seqrec.recommend(run["run"], history=["t1"], words=5)
    recommender = Recommender.from_pretrained(run["run"])
    for call, cause in (
        (lambda: recommender.recommend(text=7), "text: 7 is no text"),
        (lambda: recommender.recommend([["t1"]] * 3, text=["a", "b"]), "2 texts for 3 histories"),
        (lambda: recommender.recommend(text="a" * 999), "tokens with its history"),
        (lambda: recommender.recommend(text="a", conditions={"rating": 5}), "reads items only"),
        (lambda: recommender.recommend(text=[{"role": "critic", "content": ""}]), "role 'critic'"),
        (lambda: recommender.generate("a", max_tokens=0), "max_tokens is 0"),
    ):
        with pytest.raises(SeqRecError, match=cause):
            call()


@pytest.mark.parametrize("head", ["untied", "projected"])
def test_training_goes_on_from_a_model_with_both_heads(run, world, tmp_path, head):
    changes = {"model.backbone": run["run"], "data.catalog": None, "trainer.max_epochs": 1}
    with pytest.raises(SeqRecError, match="model.head: model.backbone .* has items and their head"):
        train(world, tmp_path / "out", **changes, **{"model.head": "tied"})
    del changes["model.backbone"]
    size = {"projected": {"model.head_size": 8}}.get(head, {})
    short = {"trainer.max_epochs": 1, "model.head": head, **size}
    lora = {**short, "model.tuning": {"name": "lora"}}
    first = train(world, tmp_path / "first", "few.jsonl", **lora)
    folder = tmp_path / "first" / "model"
    assert (folder / HEAD_WEIGHTS).is_file()
    again = seqrec.train(
        "mixed-sft",
        data=world / "few.jsonl",
        out=tmp_path / "again",
        overrides={
            "model.backbone": first["run"],
            **{key: value for key, value in QUICK.items() if key != "model.initial_vectors"},
            "trainer.max_epochs": 1,
        },
    )
    lines = [log_lines(one)[0]["train/item_loss_nats"] for one in (first, again)]
    assert lines[1] < lines[0]
    fields = [
        json.loads((tmp_path / one / "model" / HEAD_FILE).read_text()) for one in ("first", "again")
    ]
    assert fields[0]["head"] == fields[1]["head"] == head


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"prompt": "a", "completion": "<item:t9>"}', "line 2: <item:t9> is no item of the cat"),
        ('{"history": ["t1", "t9"]}', "line 2: 't9' is no item of the catalog"),
        ('{"history": "t1"}', "line 2: history is 't1', not a list"),
        ('{"title": "Heat"}', "line 2: has the keys title"),
    ],
)
def test_lines_that_name_unknown_items_are_refused_by_number(world, tmp_path, line, cause):
    data = tmp_path / "chats.jsonl"
    data.write_text(json.dumps(chat(random.Random(0))) + "\n" + line + "\n")
    with pytest.raises(SeqRecError, match=cause):
        train(world, tmp_path / "out", data)
    assert not (tmp_path / "out").exists()


def test_models_and_catalogs_that_do_not_go_together_are_refused(world, run, tmp_path):
    pl.DataFrame(
        [("u", f"n{i}", i) for i in range(5)], schema=["user", "item", "time"], orient="row"
    ).write_csv(tmp_path / "log.csv")
    seqrec.prepare(tmp_path / "log.csv", out=tmp_path / "data")
    seqrec.train(
        "sft", data=world / "data", out=tmp_path / "items", overrides={"trainer.max_epochs": 1}
    )
    for changes, cause in (
        ({"data.catalog": None}, "data.catalog: model.backbone .* has no items"),
        ({"model.backbone": str(tmp_path / "items")}, "answers with items alone"),
        (
            {"data.catalog": None, "data.histories_share": 0.5, "model.backbone": run["run"]},
            "needs",
        ),
        (
            {"model.backbone": run["run"], "data.catalog": str(tmp_path / "data")},
            "not the items of",
        ),
        ({"model.backbone": "none"}, "none"),
        ({"objective.item_weight": 0, "objective.word_weight": 0}, "one of them is above 0"),
        ({"model.head": "projected"}, "projected and head_size go together"),
    ):
        overrides = {k: v for k, v in QUICK.items() if k != "model.initial_vectors"}
        overrides |= {"data.catalog": str(world / "data"), "model.backbone": str(world / "base")}
        with pytest.raises(SeqRecError, match=cause):
            seqrec.train(
                "mixed-sft",
                data=world / "chats.jsonl",
                out=tmp_path / "out",
                overrides={**overrides, **changes},
            )
    items = Recommender.from_pretrained(tmp_path / "items")
    with pytest.raises(SeqRecError, match="reads items alone; name a run of seqrec train mixed"):
        items.generate("hm")
    with pytest.raises(SeqRecError, match="reads items alone"):
        seqrec.recommend(tmp_path / "items", text="hm", words=4)


def test_a_model_without_chat_template_reads_texts_as_they_are(world, tmp_path):
    base = save_tiny(tmp_path / "base", "gpt2")
    data = tmp_path / "texts.jsonl"
    lines = [
        {"prompt": f"after <item:t{n % 5}>: ", "completion": f"<item:t{n % 5 + 1}>"}
        for n in range(60)
    ]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    changes = {"model.backbone": str(base), "trainer.max_epochs": 6}
    run = train(world, tmp_path / "run", data, **changes)
    recommender = Recommender.from_pretrained(run["run"])
    assert recommender.recommend(text="after <item:t3>: ", k=1)[0][0][0] == "t4"
    assert recommender.generate("after <item:t3>: ") == "<item:t4>"


def test_item_recipes_with_a_word_head_write_the_same_folder(world, tmp_path):
    items = seqrec.train(
        "sft",
        data=world / "data",
        out=tmp_path / "items",
        overrides={
            "model.backbone": str(world / "base"),
            "model.word_head": True,
            "data.max_length": 5,
            "trainer.max_epochs": 1,
        },
    )
    folder = tmp_path / "items" / "model"
    plain = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    table = plain.get_output_embeddings().weight
    recommender = Recommender.from_pretrained(items["run"])
    first = recommender.model.config.first_item_token
    vectors = torch.from_numpy(recommender.item_embeddings())
    assert torch.equal(table[first : first + NUM_ITEMS], vectors)
    assert len(recommender.recommend([["t1"]], k=3)[0]) == 3
    found = seqrec.evaluate(items["run"], data=world / "data", out=tmp_path / "metrics")
    assert found["rows"]
    overrides = {key: value for key, value in QUICK.items() if key != "model.initial_vectors"}
    overrides |= {"model.backbone": items["run"], "trainer.max_epochs": 1}
    mixed = seqrec.train(
        "mixed-sft", data=world / "few.jsonl", out=tmp_path / "mixed", overrides=overrides
    )
    assert Recommender.from_pretrained(mixed["run"]).generate("x") is not None
    again = seqrec.train(
        "sft",
        data=world / "data",
        out=tmp_path / "again",
        overrides={"model.from_pretrained": mixed["run"], "trainer.max_epochs": 1},
    )
    assert (tmp_path / "again" / "model" / HEAD_FILE).is_file()
    assert Recommender.from_pretrained(again["run"]).generate("x") is not None


def test_an_adapter_of_texts_and_items_is_merged_before_training_goes_on(world, tmp_path):
    """An epoch without steps of any length leaves the model that the adapter came from."""
    head = {"model.head": "projected", "model.head_size": 8}
    lora = {**head, "trainer.max_epochs": 1, "model.tuning": {"name": "lora"}}
    first = train(world, tmp_path / "first", "few.jsonl", **lora)
    adapter = tmp_path / "first" / "adapter"
    again = {**head, "model.adapter": str(adapter), "trainer.max_epochs": 1}
    still = {**again, "trainer.learning_rate": 1e-12}
    second = train(world, tmp_path / "second", "few.jsonl", **still)
    texts = [asks(item, kind) for item in range(3) for kind in range(2)]
    lists = [
        Recommender.from_pretrained(one["run"]).recommend(text=texts, k=3, exclude_seen=False)
        for one in (first, second)
    ]
    for one, other in zip(*lists, strict=True):
        assert [item_id for item_id, _ in one] == [item_id for item_id, _ in other]
        scores = [[score for _, score in pairs] for pairs in (one, other)]
        assert scores[1] == pytest.approx(scores[0], abs=1e-4)
    rows = [(user, f"n{(user + step) % 9}", step) for user in range(9) for step in range(4)]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    log.write_csv(tmp_path / "log.csv")
    seqrec.prepare(tmp_path / "log.csv", out=tmp_path / "data")
    untied = {"model.head": "untied", "model.head_size": None}
    for changes, cause in (
        ({"data.catalog": str(tmp_path / "data")}, "the items of another catalog"),
        (untied, "catalog_head.safetensors: is missing, broken, or of another head"),
        ({"model.backbone": str(save_tiny(tmp_path / "gpt2", "gpt2"))}, "adapter of another base"),
    ):
        with pytest.raises(SeqRecError, match=cause):
            train(world, tmp_path / "out", "few.jsonl", **{**again, **changes})
