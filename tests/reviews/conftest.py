"""A folder of drafts: summaries and tags, with titles and texts that hold markup."""

import pyarrow.parquet as pq
import pytest

from seqrec.drafts.draft import DRAFTS_FILE, Draft, build_draft_table
from tests.serving.webdriver import find_programs

collect_ignore = [] if find_programs() else ["test_page_in_a_browser.py"]
TITLES = ["Heat (1995)", "<script>document.title = 'owned'</script>", "Big (1988)", "Ronin (1998)"]


def summary(number, text=None, **changes):
    """A draft of a summary; all of one number answer one prompt."""
    given = {
        "kind": "summary",
        "item_id": f"m{number}",
        "title": TITLES[number % len(TITLES)],
        "text": text or f"A film of number {number} about a robbery in the city.",
        "source": "tiny",
        "prompt": [{"role": "user", "content": f"Summarise m{number}."}],
        "evidence": {"year": 1990 + number, "plot": "<img src=x onerror=alert(1)> A plot."},
        "fallback": f"Title {number} is Action.",
        "shown": 10 * number,
    }
    return Draft(**(given | changes))


def tag(number, text, confidence=0.5, **changes):
    """A draft of a tag."""
    title = TITLES[number % len(TITLES)]
    return Draft("tag", f"m{number}", title, text, "tagger", confidence=confidence, **changes)


def save(folder, drafts):
    """Write a folder of drafts, as ``seqrec draft`` does."""
    folder.mkdir(exist_ok=True)
    pq.write_table(build_draft_table(drafts), folder / DRAFTS_FILE)
    return folder


@pytest.fixture
def folder(tmp_path):
    drafts = [summary(number) for number in range(4)]
    return save(tmp_path / "drafts", [*drafts, tag(0, "heist"), tag(2, "children", 0.95)])
