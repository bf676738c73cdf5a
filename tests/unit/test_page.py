"""The report page: self-contained, safe against any class name, honest about what is undefined."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fake_runs import write_balance, write_runs
from tymbal.config import read_split
from tymbal.evaluate.summary import collect
from tymbal.evaluate.tables import read_table, write_table
from tymbal.report.catalog import FIGURES
from tymbal.report.page import PageFigure, Spread, write_page

NASTY = '<script>alert("x")</script> & co'
SPLITS = {
    "field": {"scheme": "kfold", "n_folds": 2, "group": "site"},
    "esc": {"scheme": "holdout", "train": 0.7, "val": 0.1, "test": 0.2},
}


class Page(HTMLParser):
    """Links, ids, images and text of a page, and the cells of its tables."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.images: list[str] = []
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.words: list[str] = []
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "data", "action"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)
            if name == "alt":
                self.images.append(value)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        self.words.append(data)
        if self.in_cell:
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The summary, the inputs of the page and the page, of two folds by two seeds and of one run."""
    root = tmp_path_factory.mktemp("page")
    runs = write_runs(root, "field", "m1", [NASTY, "鳥", "Owl"], n_folds=2, seeds=(0, 1), absent=["Owl"])
    runs += write_runs(root, "esc", "m2", ["rain", "dog"], n_folds=1, single_label=True)
    balances = {"field": write_balance(root / "f.csv", [NASTY, "鳥", "Owl"])}
    balances["esc"] = write_balance(root / "e.csv", ["rain", "dog"], 1)
    for name, table in collect(runs, balances).items():
        write_table(table, root / f"summary/{name}.csv")
    svg = root / "figure.svg"
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    figures = [PageFigure("field", "m1", key, svg) for key in ("per-class-ap", "confusion")]
    figures.append(PageFigure("field", None, "class-shares", svg))
    arguments = (root / "summary", figures, {name: read_split(split) for name, split in SPLITS.items()})
    write_page(*arguments, root / "index.html")
    return arguments, Page(root / "index.html")


def test_nothing_is_fetched(made):
    page = made[1]
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "@import" not in page.source
    assert not re.search(r"url\((?!data:)", page.source)


def test_links_lead_somewhere(made):
    page = made[1]
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_class_names_are_escaped(made):
    page = made[1]
    assert NASTY not in page.source
    assert NASTY in page.text


def test_headlines_are_the_mean_over_runs_with_their_number(made):
    (summary, *_), page = made
    metrics = read_table(summary / "metrics.csv")
    chosen = metrics[(metrics["dataset"] == "field") & (metrics["metric"] == "mAP_macro")]["value"]
    assert f"{chosen.mean():.3f} ± {chosen.std():.3f}" in page.text
    assert "over 4 runs (2 folds, 2 seeds), 40 test clips each" in page.text
    assert "2 of 3 classes evaluable" in page.text
    assert "One run with 40 test clips: there is no spread" in page.text


def test_accuracy_only_where_clips_have_one_class(made):
    overview = {row[0]: row[-1] for row in made[1].rows if len(row) == 8}
    assert overview["field"] == "–"
    assert re.fullmatch(r"[01]\.\d{3}", overview["esc"])


def test_runs_and_classes_are_listed(made):
    (summary, *_), page = made
    metrics = read_table(summary / "metrics.csv").query("dataset == 'field' and fold == 2 and seed == 1")
    value = metrics.set_index(["metric", "class"])["value"]
    assert ["2", "1", "40", "2", f"{value['mAP_macro', '']:.3f}"] in [row[:5] for row in page.rows]
    assert ["Owl", "0", "0.000", "not evaluable (0 positives)"] in page.rows
    (bird,) = [row for row in page.rows if row[0] == "鳥"]
    assert len(bird) == 8
    assert "±" in bird[3]


def test_figures_have_their_captions(made):
    page = made[1]
    expected = [FIGURES[key].title for key in ("class-shares", "per-class-ap", "confusion")]
    assert page.images == expected
    assert all(FIGURES[key].caption in page.text for key in ("class-shares", "per-class-ap", "confusion"))


def test_the_split_says_what_scores_answer(made):
    text = made[1].text
    assert "How well are recordings of a new site classified?" in text
    assert "How well are new recordings classified" in text
    assert "2 folds: every labelled clip is in the test part of exactly one." in text
    assert "One split: 70% of the labelled clips train, 10% choose the epoch, 20% test." in text


def test_the_same_inputs_give_the_same_page(made, tmp_path):
    arguments, page = made
    write_page(*arguments, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page.source


def test_spread_leaves_out_what_is_undefined():
    assert Spread.of([0.5, float("nan"), 0.7]) == Spread(pytest.approx(0.6), pytest.approx(0.1414, abs=1e-4), 2)
    assert Spread.of([0.5]) == Spread(0.5, None, 1)
    assert Spread.of([float("nan")]) == Spread(None, None, 0)
