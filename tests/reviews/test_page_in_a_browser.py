"""The review page in headless Chromium: keys, clicks, markup that stays text, and a dead server.

Screenshots are left in ``build/screenshots``.
"""

import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from seqrec.drafts.draft import read_drafts
from seqrec.reviews.decisions import find_standing, measure_agreement
from seqrec.reviews.desk import Desk
from seqrec.reviews.log import Review, ReviewLog
from seqrec.reviews.queue import is_seen_twice
from seqrec.reviews.server import ReviewServer
from tests.reviews.conftest import save, summary, tag
from tests.serving.webdriver import find_programs, open_browser

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture(scope="module")
def browser():
    programs = find_programs()
    assert programs is not None
    with open_browser(*programs) as opened:
        yield opened


@contextmanager
def serve(folder):
    with ReviewServer(Desk(folder), 0) as opened:
        thread = threading.Thread(target=opened.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield opened.url
        opened.shutdown()
        thread.join()


@pytest.fixture
def url(folder):
    with serve(folder) as opened:
        yield opened


@pytest.fixture
def page(browser, url):
    """The page of a reviewer, freshly opened in a light window of a desk."""
    browser.resize(1100, 800)
    browser.use_colours("light")
    open_page(browser, url, "ann")
    yield browser


def open_page(browser, url, reviewer):
    browser.open("about:blank")
    browser.open(f"{url}#reviewer={reviewer}" if reviewer else url)
    browser.wait("document.body.dataset.task || !document.getElementById('who').hidden")


def current(browser):
    return browser.run("return document.body.dataset.task")


def act(browser, *keys):
    """Press keys, and return the draft that they were about once another one is shown."""
    before = current(browser)
    browser.press(*keys)
    browser.wait(f"document.body.dataset.task !== '{before}'")
    return before


def logged(folder):
    return ReviewLog(folder / "reviews.jsonl").reviews


def test_drafts_are_judged_by_keys_alone(page, folder):
    accepted = act(page, "a")
    edited = current(page)
    page.press("e")
    page.wait("document.activeElement.id === 'text'")
    page.run("document.getElementById('text').value = 'My own <b>text</b>.'")
    page.click("#editing button")
    page.wait(f"document.body.dataset.task !== '{edited}'")
    rejected = current(page)
    page.press("r", "t", "f", "t", "p")
    act(page, "Enter")
    skipped = act(page, "s")
    found = logged(folder)
    assert [(one.draft, one.action) for one in found] == [
        (accepted, "accept"),
        (edited, "edit"),
        (rejected, "reject"),
        (skipped, "skip"),
    ]
    assert found[1].text == "My own <b>text</b>."
    assert set(found[2].reasons) == {"precision", "factuality"}
    assert page.texts("#progress") == ["3 of 6 drafts reviewed, 3 by you"]
    act(page, "u")
    assert current(page) == skipped
    act(page, "u")
    assert current(page) == rejected
    assert page.texts("#progress") == ["2 of 6 drafts reviewed, 2 by you"]


def test_what_titles_and_plots_hold_stays_text(page, folder):
    drafts = read_drafts(folder / "drafts.parquet")
    for _ in drafts:
        assert page.run("return [document.title, document.scripts.length]") == ["Review", 1]
        assert page.run("return document.images.length") == 0
        act(page, "s")
    assert page.texts("#message") == ["Nothing is left to review. Thank you."]
    refused = "try { document.body.innerHTML = '<b>x</b>' } catch (e) { return e.name }"
    assert page.run(refused) == "TypeError"


def test_two_drafts_of_a_prompt_are_chosen_between(browser, tmp_path):
    one, other = summary(1), summary(1, "A rival that says it better.")
    with serve(save(tmp_path / "two", [one, other])) as url:
        open_page(browser, url, "ann")
        assert sorted(browser.texts(".draft")) == sorted([one.text, other.text])
        second = browser.texts(".draft")[1]
        act(browser, "2")
    (found,) = logged(tmp_path / "two")
    chosen = one if second == one.text else other
    assert (found.action, found.draft) == ("prefer", chosen.draft_id)


def test_two_drafts_that_are_both_wrong_are_one_review(browser, tmp_path):
    one, other = summary(1), summary(1, "A rival that says it better.")
    with serve(save(tmp_path / "two", [one, other, summary(2)])) as url:
        open_page(browser, url, "ann")
        while len(browser.texts(".draft")) == 1:
            act(browser, "s")
        shown = browser.texts(".draft")
        browser.press("0", "t")
        act(browser, "Enter")
        *_, found = logged(tmp_path / "two")
        texts = {draft.draft_id: draft.text for draft in (one, other)}
        assert (found.action, found.reasons) == ("reject", ("tone",))
        assert [texts[found.draft], texts[found.over]] == shown
        act(browser, "u")
        assert browser.texts(".draft") == shown
    assert [one.action for one in logged(tmp_path / "two")].count("reject") == 1


def test_a_second_reviewer_sees_their_share_and_the_agreement(browser, tmp_path):
    drafts = [tag(number, f"tag {number}") for number in range(60)]
    ids, twice = [one.draft_id for one in drafts], list(filter(is_seen_twice, drafts))
    folder = save(tmp_path / "two", drafts)
    desk = Desk(folder)
    for number, one in enumerate(drafts):
        desk.review(Review("ann", one.draft_id, "reject" if number % 2 else "accept"))
    with serve(folder) as url:
        open_page(browser, url, "bob")
        for _ in twice:
            assert browser.texts("#about")[0].endswith("second look")
            seen = current(browser)
            if ids.index(seen) % 3:
                browser.press("r")
                act(browser, "Enter")
            else:
                act(browser, "a")
        assert browser.texts("#message") == ["Nothing is left to review. Thank you."]
        (line,) = browser.texts("#progress")
    (found,) = measure_agreement(find_standing(logged(folder)))
    assert found.num_drafts == len(twice) >= 3 and found.kappa is not None
    assert line.endswith(f"kappa of ann and bob: {found.kappa:.2f} ({len(twice)})")


def test_a_name_is_asked_for_and_kept_in_the_address(browser, url, folder):
    open_page(browser, url, "")
    browser.wait("document.activeElement.id === 'who-name'")
    browser.press("Zoë")
    browser.click("#who button")
    browser.wait("document.body.dataset.task")
    assert browser.run("return location.hash") == "#reviewer=Zo%C3%AB"
    act(browser, "a")
    assert logged(folder)[0].reviewer == "Zoë"


def test_a_draft_that_changed_is_said_and_shown_anew(page, folder):
    save(folder, [summary(9)])
    act(page, "a")
    assert "changed meanwhile" in page.texts("#message")[0]
    assert page.texts("#title") == [summary(9).title] and not logged(folder)


def test_a_server_that_ended_loses_no_text(browser, folder):
    with serve(folder) as url:
        open_page(browser, url, "ann")
        browser.press("e")
        browser.run("document.getElementById('text').value = 'Not to be lost'")
    browser.click("#editing button")
    browser.wait("document.getElementById('message').classList.contains('bad')")
    assert "does not answer" in browser.texts("#message")[0]
    assert browser.run("return document.getElementById('text').value") == "Not to be lost"


def test_the_page_fits_a_desk_and_a_phone_in_light_and_dark(browser, tmp_path):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    drafts = [summary(1), summary(1, "A rival that says it better."), tag(0, "heist", 0.4)]
    with serve(save(tmp_path / "shots", drafts)) as url:
        for colours in ("light", "dark"):
            for width, height, name in ((1100, 760, "desk"), (390, 844, "phone")):
                browser.resize(width, height, is_phone=name == "phone")
                browser.use_colours(colours)
                open_page(browser, url, "ann")
                wide = "return document.documentElement.scrollWidth"
                assert browser.run(wide) <= width
                browser.screenshot(SCREENSHOTS / f"review-{name}-{colours}.png")
        browser.press("0")
        browser.screenshot(SCREENSHOTS / "review-reject.png")
    browser.resize(1100, 800)
