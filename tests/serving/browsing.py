"""The server in a thread of the test, and the page as a person goes about it."""

import threading
import time
from contextlib import contextmanager

import uvicorn

from seqrec.ranking.recommender import Recommender
from seqrec.serving.app import build_app
from seqrec.serving.server import build_config, format_url, open_socket
from tests.serving.conftest import build_context
from tests.serving.webdriver import Browser


@contextmanager
def run_in_thread(slots, **settings):
    """The address of a server that answers in this process."""
    context = build_context(slots, **settings)
    bound = open_socket("127.0.0.1", 0)
    server = uvicorn.Server(build_config(build_app(context), context))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    with bound:
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield format_url(bound)
        server.should_exit = True
        thread.join()


def visit(browser: Browser, url: str) -> None:
    """Open an address anew and wait for its lists and reasons."""
    browser.open("about:blank")
    browser.open(url)
    browser.wait("document.body.dataset.explained")


def wait_for_history(browser: Browser, length: int) -> None:
    browser.wait(f"document.querySelectorAll('#history li').length === {length}")
    browser.wait("!document.body.classList.contains('is-busy')")


def listed(browser: Browser, column: int = 0) -> list[str]:
    return browser.texts(f".column:nth-child({column + 1}) .title")


def expected_titles(ranker: Recommender, history, **rules) -> list[str]:
    (pairs,) = ranker.recommend([history], k=10, **rules)
    titles = dict(zip(ranker.item_ids, ranker.titles, strict=True))
    return [titles[item_id] for item_id, _ in pairs]
