"""A request in words on the page: asked, understood, edited, kept in the address."""

from seqrec.builders.text_search import build_text_search
from seqrec.ranking.request_batches import ListRequest
from tests.serving.browsing import listed
from tests.serving.test_page_in_a_browser import (
    SCREENSHOTS,
    address,
    browser,
    folders,
    page,
    rankers,
)

__all__ = ["address", "browser", "folders", "page", "rankers"]
PARTS = "#reading-parts li"


def ask(page, text):
    page.run("document.getElementById('words').value = arguments[0]", text)
    page.click("#words-form button")


def wait_for(page, titles):
    shown = "[...document.querySelectorAll('.title')].map((one) => one.innerText)"
    page.wait(f"{shown}.join('|') === {'|'.join(titles)!r}")


def titles_of(rankers, text, k=10, previous=None):
    found = build_text_search(rankers["film"].serve()).answer(text, ListRequest([], k), previous)
    return [row["title"] for row in found["recommendations"]]


def test_words_become_parts_that_can_be_edited(page, rankers, address):
    ask(page, "a comedy after 2000 like Amélie")
    wait_for(page, titles_of(rankers, "a comedy after 2000 like Amélie"))
    assert page.texts(f"{PARTS} span") == ["like Amélie (2001)", "genres has", "year >"]
    page.run(
        "const year = document.querySelectorAll('#reading-parts input')[1];"
        "year.value = '2040'; year.dispatchEvent(new Event('change'))"
    )
    wait_for(page, titles_of(rankers, "a comedy after 2040 like Amélie"))
    for width, height, kind in ((1360, 900, "desk"), (390, 844, "phone")):
        for colours in ("light", "dark"):
            page.resize(width, height)
            page.use_colours(colours)
            page.screenshot(SCREENSHOTS / f"words-{kind}-{colours}.png")
    page.click(f"{PARTS} .remove")
    wait_for(page, titles_of(rankers, "a comedy after 2040"))
    link = page.run("return location.href")
    page.click("#forget")
    page.wait("document.getElementById('reading').hidden")
    assert listed(page) == titles_of(rankers, "")
    page.run("location.href = arguments[0]", link)
    wait_for(page, titles_of(rankers, "a comedy after 2040"))
    assert page.texts(f"{PARTS} span") == ["genres has", "year >"]


def test_titles_are_explained_under_the_words(page):
    """Nothing was watched: the request alone leads to a title."""
    ask(page, "a comedy")
    page.wait("document.querySelector('.sentence')?.innerText.includes('your request for')")
    sentences = page.texts(".sentence")
    assert all(one.endswith("fits your request for comedy.") for one in sentences[:5])
