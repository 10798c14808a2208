"""The page of an evaluation, by what a reader finds in it."""

import re
from html.parser import HTMLParser

import pytest
from markupsafe import escape

from seqrec.reports.demo import demo_page
from seqrec.reports.evaluation import evaluation_page
from seqrec.reports.trained_models import SeedRun, TrainedModel

NASTY = "<script>alert('x')</script> $\\frac{$ _"
ENVIRONMENT = {"Python": "3.x", "date": "today"}


def row(system, value, *, seeds=1, retrieval="exact", **more):
    found = {"system": system, "retrieval": retrieval, "seeds": seeds}
    found |= {"recall@10": value, "hit_rate@10": value, "ndcg@10": value / 2, "coverage@10": 0.75}
    found |= {"users_per_second": 1200, **more}
    if seeds > 1:
        found["sd"] = {"recall@10": 0.0123, "ndcg@10": 0.0045, "coverage@10": 0.0067}
    found["intervals"] = {
        "recall@10": [value - 0.05, value + 0.0678],
        "hit_rate@10": [value - 0.05, value + 0.0678],
        "ndcg@10": [value / 2 - 0.02, value / 2 + 0.02],
    }
    return found


def comparison(system, other):
    return {
        "system": system,
        "other": other,
        "metric": "ndcg@10",
        "difference": 0.1,
        "relative": 0.5,
        "interval": [0.05, 0.15],
        "p_value": 0.0123,
        "is_significant": True,
        "sentence": f"ndcg@10, {system} against {other}: p = 0.0123: {system} wins",
    }


def result(name="ours", *, seeds=1, **more):
    return {
        "protocol": "leave-one-out test; 943 queries; order: <time>",
        "warnings": [],
        "notes": ["leave-one-out looks into the future: 12 interactions"],
        "counts": {"queries": 943, "targets_seen_before": 0},
        "models": {name: "runs/ours", "popularity": "popularity"},
        "metric": "ndcg@10",
        "rows": [row(name, 0.5, seeds=seeds), row("popularity", 0.3)],
        "comparisons": [comparison(name, "popularity")],
        "baselines": [
            {
                "baseline": "ease",
                "settings": {"l2": 250.0, "encoder": "folder/of-an-encoder"},
                "name": "ease:l2=250.0",
                "num_trials": 7,
                "selection_metric": "ndcg@10",
                "validation": 0.2468,
            },
            {"baseline": "popularity", "settings": {}, "name": "popularity"},
        ],
        **more,
    }


def seed_run(seed, *, has_validation=True):
    log = [{"epoch": e, "train/loss_nats": 3 - e, "val/ndcg@10": 0.1 * e} for e in range(3)]
    if not has_validation:
        log = [{key: line[key] for key in ("epoch", "train/loss_nats")} for line in log]
    metrics = {
        "selection_metric": "ndcg@10",
        "best_epoch": 3,
        "num_epochs": 3,
        "num_parameters": 1234,
        "costs": {"train_seconds": 12.3},
        "validation": {"ndcg@10": 0.2} if has_validation else {},
    }
    return SeedRun(seed, metrics, log)


def model(name="ours", seeds=(0,)):
    return TrainedModel(name, "model: {head: tied}\n", [seed_run(seed) for seed in seeds])


class Outline(HTMLParser):
    """Tags that are open, texts, headings, and what is loaded or linked."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.sources, self.texts = [], [], [], []
        self.feed(page)
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


def read(page):
    """The outline of a page that is well-formed and whole in itself."""
    outline = Outline(page)
    assert outline.open == []
    assert not {"script", "link", "iframe", "object"} & set(outline.tags)
    assert all(source.startswith("data:image/png;base64,") for source in outline.sources)
    assert "http" not in page and "@import" not in page and "url(" not in page
    return outline


def test_a_page_shows_the_conditions_first_then_every_system_and_verdict():
    outline = read(evaluation_page("Evaluation", result(), [model()], ENVIRONMENT))
    text = outline.text
    assert text.index("leave-one-out test; 943") < text.index("looks into the future")
    assert text.index("looks into the future") < text.index("Results")
    for said in ("targets seen before: 0", "0.5000", "0.4500 to 0.5678", "0.7500", "1,200"):
        assert said in text
    assert "p = 0.0123: ours wins" in text and "Holm" in text
    for said in (
        "l2 = 250, encoder = folder/of-an-encoder",
        "0.2468",
        "head: tied",
        "1,234",
        "today",
    ):
        assert said in text
    assert "hit_rate@10" not in text, "equal to recall, it is shown once"
    assert "details" in outline.tags and outline.tags.count("img") == 3


def test_several_seeds_have_spreads_and_a_row_each():
    one = read(evaluation_page("E", result(), [model()], ENVIRONMENT)).text
    several = read(evaluation_page("E", result(seeds=3), [model(seeds=(0, 1, 7))], ENVIRONMENT))
    assert "± 0.0123" in several.text and "standard deviation over seeds" in several.text
    assert "±" not in one and "seed" not in re.sub(r"adjusted by.*", "", one)


def test_names_are_shown_as_they_are_and_run_nothing():
    page = evaluation_page(NASTY, result(NASTY), [model(NASTY)], {NASTY: NASTY})
    outline = read(page)
    assert NASTY in outline.text and page.count(escape(NASTY)) > 5
    assert NASTY not in page


def test_the_demo_adds_origin_and_people_to_the_same_page():
    people = [{"user_id": "7", "watched": ["A <b>"], "recommended": ["C", "D"]}]
    outline = read(
        demo_page(
            title="demo",
            origin="from nowhere",
            result=result(),
            users=people,
            models=[model()],
            environment=ENVIRONMENT,
        )
    )
    for said in ("from nowhere", "A <b>", "C · D", "looks into the future", "ours wins"):
        assert said in outline.text


STRATA = [
    {"system": s, "by": by, "group": g, "queries": 9, "ndcg@10": 0.1, "interval": interval}
    for s in ("ours", NASTY)
    for by, groups in {"history length": ["1-5", "6+"], "popularity": ["head", "tail"]}.items()
    for g, interval in zip(groups, ([0.05, 0.1777], None), strict=True)
]
ORDER = [
    {
        "system": NASTY,
        "metric": "ndcg@10",
        "in_order": 0.4,
        "shuffled": 0.3,
        "relative": -0.25,
        "interval": [-0.123, -0.077],
    }
]


def test_strata_and_order_have_sections_where_they_were_measured_and_none_elsewhere():
    without = read(evaluation_page("E", result(), [], ENVIRONMENT))
    given = read(evaluation_page("E", result(strata=STRATA, order=ORDER), [], ENVIRONMENT))
    assert given.tags.count("img") == without.tags.count("img") + 2
    for said in (
        "by stratum",
        "tail",
        "0.0500 to 0.1777",
        "order matters",
        "-25.0%",
        "-0.1230 to -0.0770",
    ):
        assert said in given.text and said not in without.text


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_stratum_without_queries_leaves_a_gap(missing):
    empty = {**STRATA[0], "group": "none", "queries": 0, "ndcg@10": missing, "interval": None}
    assert "none" in read(evaluation_page("E", result(strata=[*STRATA, empty]), [], {})).text


def test_metrics_beyond_accuracy_stand_in_a_table_of_their_own():
    found = result()
    for one in found["rows"]:
        one |= {"novelty@10": 7.25, "popularity_share@10": 0.31, "miscalibration@10": 0.05}
    outline = read(evaluation_page("E", found, [], ENVIRONMENT))
    results, beyond = outline.text.split("Beyond accuracy")
    for key in ("novelty@10", "popularity_share@10", "miscalibration@10", "coverage@10"):
        assert key in beyond and key not in results


def test_one_system_alone_and_a_model_without_its_run_are_shown():
    found = result()
    alone = {**found, "rows": found["rows"][:1], "comparisons": [], "baselines": [], "notes": []}
    bare = TrainedModel("ours", "{}", [])
    outline = read(evaluation_page("E", alone, [bare], ENVIRONMENT))
    assert "against" not in outline.text and outline.tags.count("img") == 1


def test_a_run_without_validation_has_its_loss_alone():
    run = TrainedModel("ours", "{}", [seed_run(0, has_validation=False)])
    assert read(evaluation_page("E", result(), [run], ENVIRONMENT)).tags.count("img") == 3


def test_an_index_stands_with_how_lists_were_found_and_not_among_the_results():
    found = result()
    index = row("ours", 0.4, retrieval="faiss-hnsw", recall_against_exact=0.987)
    found["rows"].insert(1, index)
    results, lists = read(evaluation_page("E", found, [], ENVIRONMENT)).text.split("Retrieval")
    assert "faiss-hnsw" in lists and "0.9870" in lists and "faiss-hnsw" not in results
