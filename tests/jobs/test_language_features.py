"""A column of the items as a further target of a language model, beside the catalog head."""

import polars as pl
import pytest

import seqrec
from seqrec import Recommender
from tests.families import save_tiny

NUM_ITEMS, NUM_GENRES = 12, 3
GRAMMAR = (
    "data.events={features: [{name: genre, item: genres, is_learned: true}, "
    "{name: next_genre, item: genres, place: before, is_learned: true, dropout: 0.3}]}"
)


def genre_of(item):
    return f"G{item % NUM_GENRES}"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Every user takes one item after the other; the genre follows from the item."""
    folder = tmp_path_factory.mktemp("log")
    rows = [
        (user, 1 + (user + step) % NUM_ITEMS, 5, 10**9 + step)
        for user in range(60)
        for step in range(8)
    ]
    names = ["userId", "movieId", "rating", "timestamp"]
    pl.DataFrame(rows, schema=names, orient="row").write_csv(folder / "ratings.csv")
    items = [(1 + item, f"Film {item}", genre_of(item)) for item in range(NUM_ITEMS)]
    pl.DataFrame(items, schema=["movieId", "title", "genres"], orient="row").write_csv(
        folder / "movies.csv"
    )
    seqrec.prepare(folder, out=folder / "data")
    return folder / "data"


@pytest.mark.parametrize(
    ("family", "head", "tuning"),
    [("smollm", "tied", "full"), ("gpt2", "untied", "full"), ("llama", "tied", "lora")],
)
def test_a_language_model_learns_the_genres_beside_the_items(data, tmp_path, family, head, tuning):
    base = save_tiny(tmp_path / "base", family)
    overrides = [
        f"model.backbone={base}",
        f"model.head={head}",
        f"model.tuning.name={tuning}",
        "data.max_length=6",
        "data.batch_size=8",
        "trainer.max_epochs=25",
        "trainer.patience=25",
        "trainer.learning_rate=0.01",
        "trainer.warmup_steps=2",
        "objective.events_share=0.5",
        GRAMMAR,
    ]
    run = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=overrides)
    recommender = Recommender.from_pretrained(run["run"])
    for item in range(3, 6):
        ids = [str(1 + before) for before in range(item - 3, item)]
        (genres,) = zip(
            *(
                recommender.likelihood([ids], [[str(1 + item)]], "genre", f"G{number}")[0]
                for number in range(NUM_GENRES)
            ),
            strict=True,
        )
        assert sum(genres) == pytest.approx(1, abs=1e-4)
        assert genres[item % NUM_GENRES] > 0.8
        found = seqrec.recommend(run["run"], history=ids, k=1, plan=True)
        assert found["plan"] == {"next_genre": genre_of(item)}
        assert found["recommendations"][0]["item_id"] == str(1 + item)
