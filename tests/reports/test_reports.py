"""Tables, plots and pages, by what a reader finds in them."""

import struct
from html.parser import HTMLParser

import numpy as np

from seqrec.reports import html, plots
from seqrec.reports.tables import Estimate, html_table, text_table

ROWS = [
    {"system": "model", "ndcg@10": 0.5, "users": 1234},
    {"system": "a <baseline>", "ndcg@10": 0.25, "users": 5, "note": None},
]


def test_a_text_table_aligns_words_left_and_numbers_right():
    assert text_table(ROWS).splitlines() == [
        "system        ndcg@10  users  note",
        "model          0.5000  1,234",
        "a <baseline>   0.2500      5",
    ]


def test_an_html_table_escapes_what_it_shows():
    table = html_table(ROWS)
    assert (
        "<td>a &lt;baseline&gt;</td><td class=number>0.2500</td><td class=number>5</td><td></td>"
        in table
    )


def test_what_an_estimate_is_not_sure_of_stands_beneath_it():
    rows = [{"of": "a", "x": Estimate(0.5, 0.01, (0.4, 0.6))}, {"of": "b", "x": Estimate(0.25)}]
    assert text_table(rows).splitlines() == [
        "of                 x",
        "a             0.5000",
        "            ± 0.0100",
        "    0.4000 to 0.6000",
        "b             0.2500",
    ]
    doubts = "<small>± 0.0100</small><small>0.4000 to 0.6000</small>"
    assert f"<td class=number>0.5000{doubts}</td>" in html_table(rows)
    assert "<td class=number>0.2500</td>" in html_table(rows)


class Outline(HTMLParser):
    """Tags that were opened and closed, and addresses that are referred to."""

    def __init__(self):
        super().__init__()
        self.open, self.sources = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_is_well_formed_and_refers_to_nothing_outside():
    png = plots.bars(["model", "baseline"], [0.5, 0.2], [(0.4, 0.6), (0.1, 0.3)], "recall", "model")
    parts = [html.heading("<Results>"), html.wide(html_table(ROWS)), html.image(png, "bars")]
    page = html.page("A & B", [*parts, html.preformatted("a: <b>"), html.note("n")])
    outline = Outline()
    outline.feed(page)
    assert outline.open == [] and "A &amp; B" in page and "&lt;Results&gt;" in page
    assert all(source.startswith("data:image/png;base64,") for source in outline.sources)


def size(png):
    assert png.startswith(b"\x89PNG")
    return struct.unpack(">II", png[16:24])


def test_plots_are_pictures_of_the_size_asked_for():
    log = [{"epoch": e, "train/loss_nats": 3 - e, "val/ndcg@10": 0.1 * e} for e in range(3)]
    for logs, best in (([log], [3]), ([log], [0]), ([log, log], [2, 3])):
        assert size(plots.learning_curve(logs, "ndcg@10", best)) == (921, 518)
    names = ["a", "b", "c"]
    assert size(plots.bars(names, [1, 2, 3], [(0, 2), (1, 3), (2, 4)], "x", "a"))[0] == 921
    value = float(np.float32(0.1))  # beside its interval in double precision
    assert size(plots.bars(["a", "b"], [value] * 2, [(0.1, 0.1)] * 2, "x", "a"))[0] == 921


SCRIPT = "<script>alert('title')</script>"


def test_a_title_is_text_wherever_a_page_may_show_it():
    rows = [{SCRIPT: SCRIPT, "x": 1.0}]
    parts = [
        html.heading(SCRIPT),
        html.note(SCRIPT),
        html.warning(SCRIPT),
        html.bullets([SCRIPT]),
        html.image(b"", f'" onload="{SCRIPT}'),
        html.preformatted(SCRIPT),
        html.details(SCRIPT, html.wide(html_table(rows)), SCRIPT),
        SCRIPT,
    ]
    page = html.page(SCRIPT, parts)
    outline = Outline()
    outline.feed(page)
    assert outline.open == [] and "<script" not in page and 'onload="' not in page
    assert page.count("&lt;script&gt;") == 13
