"""A small model behind the application, called without a network."""

from functools import partial

import polars as pl
import pytest
from starlette.testclient import TestClient

from seqrec.jobs.served_folders import load_model
from seqrec.ranking.recommender import Recommender
from seqrec.serving.app import build_app
from seqrec.serving.context import Context, ServerState
from seqrec.serving.engine import Engine
from seqrec.serving.metrics import Metrics
from seqrec.serving.page_sources import PageSources
from seqrec.serving.reloading import reload_slot
from seqrec.serving.served_models import ModelPool, ModelSlot
from seqrec.serving.settings import ServerSettings
from tests.conftest import save_small_model
from tests.serving.webdriver import find_programs

# The page is driven where a browser is installed (Debian: chromium, chromium-driver).
IN_A_BROWSER = ["test_page_in_a_browser.py", "test_words_in_a_browser.py"]
collect_ignore = [] if find_programs() else IN_A_BROWSER

TITLES = [f"Film {item}" for item in range(100)]
TITLES[7], TITLES[8] = "Amélie (2001)", "<script>alert(1)</script>"
NO_SOURCES = PageSources()


def save_titled_model(folder):
    """Write a model folder whose items have titles, genres and years."""
    save_small_model(folder)
    items = pl.read_parquet(folder / "items.parquet").with_columns(
        title=pl.Series(TITLES),
        genres=pl.Series([["drama", "comedy"][: 1 + item % 2] for item in range(100)]),
        year=pl.Series([1950 + item for item in range(100)]),
    )
    items.write_parquet(folder / "items.parquet")
    return folder


@pytest.fixture
def folder(tmp_path):
    return save_titled_model(tmp_path / "film")


@pytest.fixture
def recommender(folder):
    return Recommender.from_pretrained(folder)


def build_context(slots, *, sources=NO_SOURCES, **settings) -> Context:
    """Return a server's context with loaded models."""
    pool, metrics, checked = ModelPool(slots), Metrics(), ServerSettings(**settings)
    for slot in slots:
        reload_slot(slot, pool, metrics)
    engine = Engine(pool, metrics, batch_size=checked.batch_size, queue_size=checked.queue_size)
    return Context(engine, checked, metrics, ServerState(), sources=sources)


def slot_for(folder, name="film", weight=1.0, retrieval="flat") -> ModelSlot:
    return ModelSlot(name, weight, partial(load_model, name, folder, None, retrieval))


@pytest.fixture
def open_client():
    """A function that starts an application over slots and returns its client."""
    clients = []

    def start(slots, *, base_url="http://localhost", **settings):
        context = build_context(slots, **settings)
        client = TestClient(build_app(context), base_url=base_url, raise_server_exceptions=False)
        client.context = context
        clients.append(client.__enter__())
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(folder, open_client):
    return open_client([slot_for(folder)])
