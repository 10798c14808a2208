"""The page in headless Chromium: what a person sees, types and clicks, and what reaches nobody.

Screenshots are left in ``build/screenshots``.
"""

from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import polars as pl
import pytest
import torch

import seqrec
from seqrec.data.prepared import PreparedData
from seqrec.ranking.evidence import find_evidence
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.served import Reading
from seqrec.serving.page_sources import PageSources
from tests.serving.browsing import (
    expected_titles,
    listed,
    run_in_thread,
    visit,
    wait_for_history,
)
from tests.serving.conftest import save_titled_model, slot_for
from tests.serving.test_page import simulate_log
from tests.serving.webdriver import find_programs, open_browser

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
TITLES = {
    8: "<script>document.title = 'owned'</script>",
    9: "<img src=x onerror=\"document.title='owned'\">",
    10: 'Tom &amp; Jerry\'s "Café" 映画 🎬',
}
EVALUATION = {
    "columns": ["system", "recall@10"],
    "rows": [["film", "0.2185 (0.1919 to 0.2439)"], ["<b>other</b>", "0.1000"]],
    "notes": ["leave-one-out test; 943 queries"],
}


@pytest.fixture(scope="module")
def browser():
    programs = find_programs()
    assert programs is not None
    with open_browser(*programs) as opened:
        yield opened


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two models of the same catalog, whose titles hold markup."""
    made = {}
    torch.manual_seed(0)
    for name in ("film", "other"):
        folder = save_titled_model(tmp_path_factory.mktemp(name) / "model")
        items = pl.read_parquet(folder / "items.parquet")
        titles = [TITLES.get(row, title) for row, title in enumerate(items["title"])]
        items.with_columns(title=pl.Series(titles)).write_parquet(folder / "items.parquet")
        made[name] = folder
    return made


@pytest.fixture(scope="module")
def rankers(folders):
    return {name: Recommender.from_pretrained(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def address(folders, tmp_path_factory):
    data = tmp_path_factory.mktemp("log") / "data"
    seqrec.prepare(simulate_log(), out=data)
    slots = [slot_for(folder, name) for name, folder in folders.items()]
    sources = PageSources(PreparedData.open(data), EVALUATION)
    with run_in_thread(slots, sources=sources) as url:
        yield url


@pytest.fixture
def page(browser, address):
    """The page, freshly opened in a light window of a desk."""
    browser.resize(1360, 900)
    browser.use_colours("light")
    visit(browser, address)
    yield browser
    errors = [line for line in browser.log() if "log/user?id=nobody" not in line]
    assert not errors


def test_a_history_is_built_by_keys_and_clicks_and_the_lists_follow(page, rankers, address):
    film = rankers["film"]
    assert listed(page) == expected_titles(film, [])
    assert page.texts(".notes") == ["Most watched in training."]
    page.press("/", "film 4")
    is_film_4 = "(span) => span.innerText.startsWith('Film 4')"
    page.wait(f"[...document.querySelectorAll('#found span')].filter({is_film_4}).length > 3")
    page.press("ArrowDown", "ArrowDown", "ArrowUp", "Enter")
    wait_for_history(page, 1)
    second = page.texts("#history li span")[0]
    added = film.item_ids[film.titles.index(second)]
    assert listed(page) == expected_titles(film, [added])
    first = listed(page)[0]
    page.click(".title")
    wait_for_history(page, 2)
    assert page.texts("#history li span") == [first, second]
    history = [added, film.item_ids[film.titles.index(first)]]
    assert listed(page) == expected_titles(film, history)
    page.run(
        "const s = document.getElementById('genre'); s.value = 'comedy'; "
        "s.dispatchEvent(new Event('change'))"
    )
    comedies = expected_titles(film, history, where="genres contains 'comedy'")
    page.wait(f"document.querySelector('.title').innerText === {comedies[0]!r}")
    page.wait("!document.body.classList.contains('is-busy')")
    assert listed(page) == comedies
    link = page.run("return location.href")
    assert link == f"{address}/#h={','.join(history)}&a=film&genre=comedy"
    visit(page, link)
    assert listed(page) == comedies and page.texts("#history li span") == [first, second]
    page.click(".remove", 1)
    wait_for_history(page, 1)
    page.click("#clear")
    page.wait("document.querySelector('#history').children.length === 0")


def test_titles_are_text_and_never_markup(page, address):
    visit(page, f"{address}/#h=t8,t9,t10&a=film&b=other")
    assert page.texts("#history li span") == [TITLES[10], TITLES[9], TITLES[8]]
    page.click(".why")
    page.wait("document.querySelector('.evidence tbody th')")
    page.click("#search")
    page.press("script")
    page.wait("document.querySelector('#found span')?.innerText.startsWith('<script>')")
    assert page.texts("#found span")[0] == TITLES[8]
    page.press("Escape")
    assert page.run("return [document.title, document.scripts.length, document.images.length]") == [
        "seqrec",
        1,
        1,
    ]
    # the policy refuses it even from the console of the page
    refused = "try { document.body.innerHTML = '<b>x</b>' } catch (e) { return e.name }"
    assert page.run(refused) == "TypeError"
    assert "TrustedHTML" in page.log()[0]


def test_nobody_else_is_contacted(page, address):
    script = "return performance.getEntriesByType('resource').map((e) => new URL(e.name).origin)"
    assert set(page.run(script)) == {address}


def test_two_models_stand_side_by_side_and_differences_are_marked(page, rankers, address):
    visit(page, f"{address}/#h=t3,t5&a=film&b=other")
    ranks = []
    for column, name in enumerate(("film", "other")):
        titles = expected_titles(rankers[name], ["t3", "t5"])
        assert listed(page, column) == titles
        ranks.append({title: rank for rank, title in enumerate(titles, 1)})
    for column, (own, other) in enumerate((ranks, ranks[::-1])):
        rows = page.run(
            "return [...document.querySelectorAll(arguments[0])].map((li) => "
            "[li.querySelector('.title').innerText, li.querySelector('.marks').innerText])",
            f".column:nth-child({column + 1}) .items > li",
        )
        for title, mark in rows:
            if title not in other:
                assert mark == "only here"
            elif own[title] == other[title]:
                assert mark == "="
            else:
                steps = other[title] - own[title]
                assert mark == f"{'▲' if steps > 0 else '▼'} {abs(steps)}"
        shared = len(own.keys() & other.keys())
        assert page.texts(".notes")[column] == f"{shared} of 10 are in both lists."


def test_why_a_title_is_there_is_the_evidence_of_the_library(page, rankers, address):
    history = ["t3", "t5", "t7"]
    visit(page, f"{address}/#h={','.join(history)}&a=film")
    film = rankers["film"]
    item = film.titles.index(listed(page)[0])
    (found,) = find_evidence(film.serve(), history, np.array([item]), Reading({}, plan=False))
    strongest = max(found.titles, key=lambda one: one.without.factor)
    factor = strongest.without.factor
    reason = f"{factor:.2f}× as likely because of {film.titles[strongest.title]}"
    assert page.texts(".reason")[0] == (reason if factor > 1.02 else "")
    page.wait("document.body.dataset.worded")
    ids = [film.item_ids[film.titles.index(title)] for title in listed(page)]
    body = {"model": "film", "history": history, "item_ids": ids, "sentences": True}
    answer = httpx.post(f"{address}/explain", json=body).json()
    sentences = [one["explanation"]["sentence"] for one in answer["items"]]
    assert page.texts(".sentence") == sentences and len(set(sentences)) == 10
    page.click(".why")
    page.wait("document.querySelector('.evidence tbody th')")
    rows = page.run(
        "return [...document.querySelectorAll('.evidence tbody tr')].map((tr) => "
        "[...tr.children].map((cell) => cell.innerText.trim()))"
    )
    assert len(rows) == 3
    by_title = {film.titles[one.title]: one for one in found.titles}
    for title, factor, rank, _, cosine in rows:
        own = by_title[title]
        assert factor == f"{own.without.factor:.2f}×"
        moved = own.without.rank != found.rank
        assert rank == (f"{found.rank} → {own.without.rank}" if moved else f"stays {found.rank}")
        assert float(cosine) == pytest.approx(own.cosine, abs=0.0051)
    assert page.run("return document.querySelector('.why').ariaExpanded") == "true"


def test_a_user_of_the_data_is_shown_with_hits(page, rankers, address):
    page.click("#user")
    page.press("user 3")
    page.click("#user-form button")
    page.wait("!document.getElementById('user-view').hidden")
    page.wait("!document.body.classList.contains('is-busy')")
    assert page.texts("#next li span:first-child") == ["t2"]
    assert page.texts("#cut-note") == ["11 titles of 12. What came next is held out."]
    link = f"{address}/#user={quote('user 3')}&at=4&a=film"
    visit(page, link)
    history = ["t3", "t4", "t5", "t6"]
    expected = expected_titles(rankers["film"], history)
    assert listed(page) == expected
    following = {rankers["film"].titles[row] for row in (7, 8, 9, 10, 11, 0, 1, 2)}
    hits = [title for title in expected if title in following]
    assert page.texts(".items > li.is-hit .title") == hits
    assert page.texts(".notes") == [f"{len(hits)} of 10 were watched next."]
    assert page.texts("#cut-note") == ["4 titles of 12. The model was trained on what came next."]
    page.click(".title")  # one more title, and the history is nobody's
    wait_for_history(page, 5)
    assert page.run("return location.hash").startswith("#h=t3,t4,t5,t6,")
    page.open(f"{address}/#user=nobody")
    page.wait("document.getElementById('status').innerText === 'User nobody is not in the data.'")


def test_the_evaluation_is_a_table(page):
    page.click("#show-evaluation")
    assert page.texts("#evaluation tbody :is(th, td)") == [
        "film",
        "0.2185\n0.1919 to 0.2439",
        "<b>other</b>",
        "0.1000",
    ]
    page.press("Escape")
    assert page.run("return document.getElementById('evaluation').open") is False


def test_ids_of_any_letters_survive_in_a_link(page, address):
    odd = ["a,b", "c&d=e", "#f", "50%", "ä 🎬", "t3"]
    visit(page, f"{address}/#h={','.join(quote(one, safe='') for one in odd)}&a=film")
    assert page.texts("#history li span") == ["Film 3", *odd[-2::-1]]
    assert page.texts(".notes")[0].startswith("Skipped, not in the catalog: a,b, c&d=e, #f, 50%")
    for broken in ("#h=%E0%A4%A,t3&at=x&k=9999&a=none", "#=&&=&h", "#h=,,,"):
        visit(page, f"{address}/{broken}")
        assert len(listed(page)) >= 10


def test_it_fits_a_phone_and_both_colours(page, address):
    link = f"{address}/#user={quote('user 3')}&at=4&a=film&b=other"
    visit(page, link)
    page.click(".why")
    page.screenshot(SCREENSHOTS / "desk-light.png")
    backgrounds = []
    for scheme in ("light", "dark"):
        page.use_colours(scheme)
        backgrounds.append(page.run("return getComputedStyle(document.body).backgroundColor"))
        for width in (1360, 390, 320):
            page.resize(width, 844, is_phone=width < 500)
            wide, window = page.run("return [document.documentElement.scrollWidth, innerWidth]")
            assert wide <= window == width
            page.screenshot(SCREENSHOTS / f"{scheme}-{width}.png")
    light, dark = (sum(map(int, text[4:-1].split(","))) for text in backgrounds)
    assert light > 700 and dark < 100


def test_a_token_is_asked_for_and_kept_in_the_tab(browser, folders):
    slots = [slot_for(folders["film"], "film")]
    with run_in_thread(slots, token="a-long-secret-token") as url:
        browser.open(url)
        for token, note in (("wrong", "The server does not know this token."), ("right", "")):
            browser.wait("document.getElementById('token-dialog').open")
            browser.click("#token")
            typed = "a-long-secret-token" if token == "right" else token
            browser.press(typed, "Enter")
            if note:
                browser.wait(f"document.getElementById('token-note').innerText === {note!r}")
        browser.wait("document.querySelectorAll('.title').length === 10")
        assert "secret" not in browser.run("return location.href + document.body.innerHTML")
        browser.reload()
        browser.wait("document.querySelectorAll('.title').length === 10")
        browser.open("about:blank")
        browser.log()
