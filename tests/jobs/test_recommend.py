"""Lists under every option of ``recommend``: models, baselines, indexes, files and frames."""

import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import seqrec
from seqrec.baselines import build_baseline
from seqrec.cli import main
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError

QUICK = ["trainer.max_epochs=1", "model.hidden_size=16", "model.transition_prior={strength: 1}"]
EVERY = "popularity", "item-knn", "ease", "transitions"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A log of integer ids with genres and years, a model, and an index of it."""
    root = tmp_path_factory.mktemp("recommend")
    log = first_order_world(num_items=40, seed=0).simulate(80, 9, seed=1)
    user, item = log.columns[:2]
    log = log.with_columns(
        pl.col(user).rank("dense").cast(pl.Int64) + 500,
        pl.col(item).rank("dense").cast(pl.Int64) + 1000,
    ).rename({user: "user_id", item: "item_id"})
    ids = log["item_id"].unique().sort()
    items = pl.DataFrame(
        {
            "item_id": ids,
            "title": [f"title {number}" for number in ids],
            "genres": [["Comedy"] * (number % 2) + ["Drama"] for number in ids],
            "year": [1980 + number % 10 for number in ids],
        }
    )
    log.write_csv(root / "log.csv")
    seqrec.prepare(log, out=root / "data", items=items)
    seqrec.train("sft", data=root / "data", out=root / "run", overrides=QUICK)
    seqrec.export(root / "run", to="faiss", out=root / "index")
    return root


@pytest.fixture(scope="module")
def recommender(made):
    return seqrec.Recommender.from_pretrained(made / "run")


def read(out):
    table = pl.read_parquet(out)
    return {user: part["item_id"].to_list() for (user,), part in table.group_by("user_id")}


def all_scores(model, made, tmp_path, **options):
    """Every user's full list without any rule."""
    out = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
    seqrec.recommend(model, data=made / "data", k=40, out=out, **options)
    return read(out)


def get_model(name, made):
    return made / "run" if name in ("model", "index") else name


@pytest.mark.parametrize("system", ["model", "index", *EVERY])
def test_lists_are_the_allowed_part_of_the_full_lists(made, tmp_path, system):
    model = get_model(system, made)
    options = {"index": made / "index" / "items" / "flat"} if system == "index" else {}
    full = all_scores(model, made, tmp_path, **options)
    rng = np.random.default_rng(0)
    ids = [str(number) for number in range(1001, 1041)]
    users = sorted(full)
    exclude = {user: rng.choice(ids, 12).tolist() for user in users[::2]}
    (tmp_path / "allow.txt").write_text("\n".join([*ids[5:35], "nowhere"]))
    pl.DataFrame({"user_id": list(exclude), "item_id": list(exclude.values())}).explode(
        "item_id"
    ).write_csv(tmp_path / "exclude.csv")
    out = tmp_path / "out.parquet"
    result = seqrec.recommend(
        model,
        data=made / "data",
        k=6,
        allow=tmp_path / "allow.txt",
        exclude=tmp_path / "exclude.csv",
        where="genres contains 'Comedy' AND year > 1982",
        out=out,
        **options,
    )
    assert result["notes"] == ["--allow: 1 items are not in the catalog, 'nowhere' first"]
    fits = {i for i in ids[5:35] if int(i) % 2 and int(i) % 10 > 2}
    expected = {
        user: [i for i in full[user] if i in fits and i not in exclude.get(user, [])][:6]
        for user in users
    }
    assert read(out) == {user: items for user, items in expected.items() if items}


@pytest.mark.parametrize("system", ["model", "item-knn"])
def test_candidates_are_ranked_exactly_and_users_are_chosen(made, tmp_path, system):
    model = get_model(system, made)
    full = all_scores(model, made, tmp_path, exclude_seen=False)
    users = sorted(full)[:4]
    candidates = {users[0]: ["1003", "1001"], users[1]: [1030], users[2]: []}
    out = tmp_path / "out.csv"
    result = seqrec.recommend(
        model,
        data=made / "data",
        users=[*users, 7],
        candidates=candidates,
        out=out,
    )
    table = pl.read_csv(out, infer_schema=False)
    for user in users:
        wanted = [str(item) for item in candidates.get(user, [])]
        expected = [item for item in full[user] if item in wanted]
        assert table.filter(pl.col("user_id") == user)["item_id"].to_list() == expected
    assert result["users"] == 4 and result["notes"] == [
        "--users: 1 users have no history in the data, '7' first",
        f"--candidates: 1 users have no list of items, so nothing is recommended to them, "
        f"{users[3]!r} first",
    ]


def test_rules_on_the_command_line(made, tmp_path, capsys):
    out = tmp_path / "lists.ndjson"
    arguments = ["recommend", made / "run", "--data", made / "data", "--k", 8, "--out", out]
    rules = ["--mmr", 0.5, "--max-per", "genres:5", "--max-per", "year:2", "--pin", "1007:2"]
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in [*arguments, *rules]])
    assert ended.value.code == 0, capsys.readouterr()
    for _, part in pl.read_ndjson(out).group_by("user_id"):
        items = [int(i) for i in part["item_id"].cast(pl.Int64).to_list()]
        assert items[1] == 1007 and len(items) == 5  # every item is a drama
        assert max(items.count(i) for i in items) == 1
        years = [i % 10 for i in items]
        assert max(years.count(year) for year in years) <= 2


@pytest.mark.parametrize("system", ["model", "item-knn", "ease", "transitions"])
def test_similar_items_are_the_nearest_ones(made, recommender, system):
    data = {} if system == "model" else {"data": made / "data"}
    result = seqrec.recommend(get_model(system, made), similar_to=1005, k=5, **data)
    found = [row["item_id"] for row in result["recommendations"]]
    assert result["similar_to"]["item_id"] == "1005" and len(found) == 5 and "1005" not in found
    if system == "model":
        vectors = recommender.item_embeddings().astype(np.float64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = vectors @ vectors[recommender.item_ids.index("1005")]
        expected = [recommender.item_ids[item] for item in np.argsort(-cosines)]
        assert found == [item for item in expected if item != "1005"][:5]
    else:
        alone = seqrec.recommend(system, history=["1005"], k=5, **data)["recommendations"]
        assert found == [row["item_id"] for row in alone]
    with pytest.raises(SeqRecError, match="popularity does not compare items"):
        seqrec.recommend("popularity", similar_to="1005", data=made / "data")


FRAMES = [
    ("polars", lambda frame: frame),
    ("lazy", lambda frame: frame.lazy()),
    ("pandas", lambda frame: frame.to_pandas()),
    ("floats", lambda frame: frame.with_columns(pl.col("item_id").cast(pl.Float64)).to_pandas()),
    ("small", lambda frame: frame.with_columns(pl.col("user_id", "item_id").cast(pl.Int16))),
    ("text", lambda frame: frame.with_columns(pl.col("user_id", "item_id").cast(pl.String))),
    ("arrow", lambda frame: frame.to_arrow()),
]


@pytest.mark.parametrize(("kind", "convert"), FRAMES, ids=[kind for kind, _ in FRAMES])
@pytest.mark.parametrize("system", ["model", "ease"])
def test_a_frame_of_histories_gives_a_frame_like_it(made, recommender, kind, convert, system):
    log = pl.read_csv(made / "log.csv").sample(fraction=1, shuffle=True, seed=0)
    log = log.rename({"user_id": "customer", "item_id": "movieId"})
    time = next(name for name in log.columns if "time" in name)
    given = convert(log.rename({"customer": "user_id", "movieId": "item_id"}))
    data = {} if system == "model" else {"data": made / "data"}
    table = seqrec.recommend(get_model(system, made), histories=given, k=3, **data)
    is_pandas = kind in ("pandas", "floats")
    assert isinstance(table, pd.DataFrame if is_pandas else pl.DataFrame)
    assert list(table.columns) == ["user_id", "item_id", "score", "rank"]
    if kind not in ("lazy", "arrow"):
        assert [table[name].dtype for name in ("user_id", "item_id")] == [
            given[name].dtype for name in ("user_id", "item_id")
        ]
    table = pl.DataFrame(table).with_columns(pl.col("user_id", "item_id").cast(pl.Int64))
    histories = {
        user: [str(i) for i in part.sort(time, maintain_order=True)["movieId"]]
        for (user,), part in log.group_by("customer", maintain_order=True)
    }
    served = recommender if system == "model" else None
    lists = (
        served.recommend(histories, k=3)
        if served
        else seqrec.recommend("ease", histories=histories, k=3, data=made / "data")
    )
    assert table["user_id"].unique(maintain_order=True).to_list() == list(histories)
    for user, pairs in lists.items():
        part = table.filter(pl.col("user_id") == user)
        assert part["item_id"].to_list() == [int(item_id) for item_id, _ in pairs]
        np.testing.assert_allclose(part["score"], [score for _, score in pairs], rtol=1e-6)
        assert part["rank"].to_list() == list(range(1, len(pairs) + 1))


def test_a_log_of_new_users_is_written_in_the_same_lists(made, recommender, tmp_path):
    out = tmp_path / "new.csv"
    with pytest.raises(SystemExit) as ended:
        main(f"recommend {made}/run --histories {made}/log.csv --k 3 --out {out}".split())
    assert ended.value.code == 0
    frame = recommender.recommend(pl.read_csv(made / "log.csv"), k=3)
    written = pl.read_csv(out)
    assert written["item_id"].to_list() == frame["item_id"].to_list()
    assert written["user_id"].to_list() == frame["user_id"].to_list()


def test_uuids_come_back_as_uuids(tmp_path):
    log = first_order_world(num_items=12, seed=0).simulate(30, 6, seed=1).to_pandas()
    for name in log.columns[:2]:
        log[name] = [uuid.uuid5(uuid.NAMESPACE_DNS, str(one)) for one in log[name]]
    texts = log.astype({name: str for name in log.columns[:2]})
    seqrec.prepare(texts, out=tmp_path / "data")
    seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run", overrides=QUICK)
    recommender = seqrec.Recommender.from_pretrained(tmp_path / "run")
    table, of_texts = recommender.recommend(log, k=2), recommender.recommend(texts, k=2)
    for name in log.columns[:2]:
        assert isinstance(table[name].iloc[0], uuid.UUID)
        assert table[name].astype(str).tolist() == of_texts[name].tolist()


def test_lists_for_lists_take_the_same_rules(recommender):
    histories = [["1001", "1002"], [1003]]
    every = recommender.recommend(histories, k=40)
    allow = [["1010", "1020"], [1030]]
    found = recommender.recommend(histories, allow=allow)
    for pairs, full, ids in zip(found, every, allow, strict=True):
        expected = {item_id: score for item_id, score in full if item_id in map(str, ids)}
        assert [item_id for item_id, _ in pairs] == list(expected)
        assert dict(pairs) == pytest.approx(expected, abs=1e-5)  # given items are scored alone
    by_user = recommender.recommend(
        {"a": histories[0], 7: histories[1]}, candidates={"a": allow[0], 7: allow[1]}
    )
    assert by_user == {"a": found[0], 7: found[1]}


MISTAKES = {
    "no mode": ({}, "name exactly one of them"),
    "two modes": ({"history": ["1001"], "similar_to": "1001"}, "name exactly one of them"),
    "a model with data": ({"history": ["1001"], "data": "x"}, "only a baseline needs --data"),
    "unknown item": ({"similar_to": "x"}, "--similar-to x: not in the catalog"),
    "pin": ({"history": ["1001"], "pin": ["x:1"]}, "--pin x: not in the catalog"),
    "no rank": ({"history": [], "pin": {"1001": "a"}}, "rank 'a' is not a whole number"),
    "an event": ({"history": {"item_id": "1001"}}, "give a list whose elements are any value"),
    "pin too low": ({"history": ["1001"], "pin": "1001:11"}, "rank 11 is not one of 1 to 10"),
    "pins of one rank": ({"history": [], "pin": {"1001": 1, "1002": 1}}, "one rank twice"),
    "cap": ({"history": ["1001"], "max_per": "genres"}, "write COLUMN:N"),
    "mmr": ({"history": ["1001"], "mmr": 2}, "--mmr 2: a number from 0"),
    "where": ({"history": ["1001"], "where": "price > 1"}, "no such column"),
    "per user": ({"history": ["1001"], "allow": {"u": ["1001"]}}, "have no users"),
    "lists": ({"history": [["1001"]]}, "give one history"),
    "k": ({"history": ["1001"], "k": "5"}, "^k: '5' is of type str"),
    "a frame as data": (
        {"data": pd.DataFrame({"a": [1]}), "out": "x.csv"},
        "^data: is of type DataFrame; give text or a path$",
    ),
    "no format": ({"data": "x", "out": "lists"}, "names no format"),
    "users": ({"history": ["1001"], "users": ["1"]}, "--users chooses users of --data"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(made, name):
    options, complaint = MISTAKES[name]
    with pytest.raises(SeqRecError, match=complaint) as error:
        seqrec.recommend(made / "run", **options)
    assert "\n" not in str(error.value)


def test_a_baseline_needs_data_and_has_no_vectors_for_diversity(made, tmp_path):
    with pytest.raises(SeqRecError, match="ease: a baseline needs --data"):
        seqrec.recommend("ease", history=["1001"])
    with pytest.raises(SeqRecError, match="--mmr: .* no item vectors"):
        seqrec.recommend("ease", history=["1001"], data=made / "data", mmr=0.5)
    fitted = seqrec.recommend("ease", history=[1001], data=PreparedData.open(made / "data").path)
    assert len(fitted["recommendations"]) == 10
    assert Path(made / "data").exists()


def test_a_fitted_baseline_stands_where_a_model_is_named(made, tmp_path):
    prepared = PreparedData.open(made / "data")
    fitted = build_baseline("item-knn", prepared.histories(), prepared.num_items)
    lists = []
    for number, model in enumerate((fitted, "item-knn")):
        out = tmp_path / f"{number}.parquet"
        seqrec.recommend(model, data=made / "data", out=out)
        lists.append(read(out))
        history = seqrec.recommend(model, history=[1001, 1002], data=made / "data")
        lists.append(history["recommendations"])
    assert lists[:2] == lists[2:]
    rows = seqrec.evaluate([fitted, "popularity"], data=made / "data", k=5)["rows"]
    by_name = seqrec.evaluate("item-knn", data=made / "data", k=5)["rows"]
    assert rows[0]["system"] == "item-knn" and rows[0]["ndcg@5"] == by_name[0]["ndcg@5"]


def test_no_item_left_is_said(made, tmp_path):
    result = seqrec.recommend(made / "run", history=[1001], where="year > 3000")
    assert result["recommendations"] == []
    assert result["notes"] == ["no item of the catalog may be listed under these options"]


def test_a_folder_of_another_type_is_one_line():
    with pytest.raises(SeqRecError, match="^folder: 3 is of type int; give text or a path$"):
        seqrec.Recommender.from_pretrained(3)
