"""The report page: self-contained, safe against any class name, honest about what is undefined."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from fake_runs import corpus_facts, write_dataset, write_pretraining, write_runs
from tymbal.config import read_split
from tymbal.evaluate.paired import compare
from tymbal.evaluate.summary import collect
from tymbal.evaluate.tables import read_table, write_table
from tymbal.pretrain import summary as pretrain_summary
from tymbal.report.catalog import FIGURES
from tymbal.report.data_sections import _notes, _range, _span
from tymbal.report.model_sections import _held_out
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
    """The inputs of the page and the page, of two folds by two seeds, and of single runs with all kinds of start."""
    root = tmp_path_factory.mktemp("page")
    runs = write_runs(root, "field", "m1", [NASTY, "鳥", "Owl"], n_folds=2, seeds=(0, 1), absent=["Owl"])
    starts = {
        "m2": {},
        "m2-10": {"label_percent": 10},
        "public": {"init": "pretrained/SSAST-<1>.pth"},
        "ours": {"init": {"ssl": "tiny", "seed": 0}, "corpora": [corpus_facts(1)], "skill": 9.0},
        "heard": {"init": {"ssl": "all", "seed": 0}, "corpora": [corpus_facts(1, transductive=True)]},
    }
    for model, settings in starts.items():
        runs += write_runs(root, "esc", model, ["rain", "dog"], n_folds=1, single_label=True, **settings)
    families = {model: model.removesuffix("-10") for model in ("m1", *starts)}
    pretrainings, corpora = write_pretraining(root, "tiny", 2)
    chained = {"init": {"ssl": "all", "seed": 0}, "before": corpus_facts(1, transductive=True)}
    heard = {"objective": "generative", "transductive": True, "n_short": 1200}
    for ssl, settings in {"all": heard, "chained": chained}.items():
        further = write_pretraining(root / ssl, ssl, 1, **settings)
        pretrainings += further[0]
        corpora = further[1] | corpora
    folders = {
        "field": write_dataset(root / "field", [NASTY, "鳥", "Owl"], n_near=23, n_quarantined=21),
        "esc": write_dataset(root / "esc", ["rain", "dog"], 1, question="places not known"),
    }
    tables = collect(runs, folders, families) | pretrain_summary.collect(pretrainings, corpora)
    tables["paired"] = compare(runs, {"field": False, "esc": True}, "any")
    for name, table in tables.items():
        write_table(table, root / f"summary/{name}.csv")
    svg = root / "figure.svg"
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    figures = [PageFigure(key, {"dataset": "field", "model": "m1"}, svg) for key in ("per-class-ap", "confusion")]
    figures.append(PageFigure("class-shares", {"dataset": "field"}, svg))
    figures.append(PageFigure("label-share", {"dataset": "field"}, svg))
    figures.append(PageFigure("pretext-curves", {"ssl": "tiny"}, svg))
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


def test_the_first_sentence_holds_for_transductive_models_too(made, tmp_path):
    (summary, figures, splits), page = made
    told = "Every score is of test clips, which neither trained a model nor chose its epoch"
    assert f"{told}, but for those marked transductive, whose starting weights had heard them." in page.text
    write_page(summary, figures, {"field": splits["field"]}, tmp_path / "clean.html")
    assert f"{told}." in Page(tmp_path / "clean.html").text


def test_a_share_of_the_labels_is_told_beside_the_model(made, tmp_path):
    (summary, figures, splits), page = made
    assert {row[1] for row in page.rows if len(row) == 9 and "% of labels" in row[1]} == {"m2-10 10 % of labels"}
    for table in summary.glob("*.csv"):
        (tmp_path / table.name).write_bytes(table.read_bytes())
    write_table(read_table(summary / "runs.csv").assign(label_percent=10), tmp_path / "runs.csv")
    write_page(tmp_path, figures, splits, tmp_path / "few.html")
    pairs = [row[:2] for row in Page(tmp_path / "few.html").rows if len(row) == 7 and row[0].startswith("m2 ")]
    assert ["m2 10 % of labels", "ours 10 % of labels"] in pairs


def test_accuracy_only_where_clips_have_one_class(made):
    overview = {row[1]: row[-1] for row in made[1].rows if len(row) == 9}
    assert overview["m1"] == "–"
    assert re.fullmatch(r"[01]\.\d{3}", overview["m2"])


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
    keys = ("class-shares", "label-share", "per-class-ap", "confusion", "pretext-curves")
    assert page.images == [FIGURES[key].title for key in keys]
    assert all(FIGURES[key].caption in page.text for key in keys)


def test_the_split_says_what_scores_answer(made):
    text = made[1].text
    assert "How well are recordings of a new site classified?" in text
    assert "How well are new recordings classified" in text
    assert "2 folds: every labelled clip is in the test part of exactly one." in text
    assert "One split: 70% of the labelled clips train, 10% choose the epoch, 20% test." in text


def test_the_audit_says_what_it_found(made):
    page = made[1]
    overview = {row[0]: row[3] for row in page.rows if len(row) == 9}
    assert overview["field"] == "same places, same nights"
    assert overview["esc"] == "places not known"
    assert (
        "Same places, same nights. Held-out clips are of sites and days, or nights, of which training clips are"
        in page.text
    )
    assert ["Days at a site also in training", "76–77 %", "76–77 %", ""] in page.rows
    assert ["Clips within 1 h of a training clip, same site", "–", "–", "not known: no site and time"] in page.rows
    assert ["Time to the nearest of these, median", "3.5–4.5 h", "3.5–4.5 h", ""] in page.rows
    assert ["Classes with 1 to 4 positive groups", "1", "1", "Owl (2)"] in page.rows
    assert [row[0] for row in page.rows].count("Sites also in training") == 2
    assert [row[0] for row in page.rows].count("Recordings also in training") == 2


def test_the_overview_says_what_each_model_starts_from(made):
    starts = {row[1]: row[2] for row in made[1].rows if len(row) == 9 and row[0] in SPLITS}
    assert starts == {
        "m1": "scratch",
        "m2": "scratch",
        "m2-10 10 % of labels": "scratch",
        "public": "SSAST-<1>.pth †",
        "ours": "tiny",
        "heard": "all transductive",
    }
    assert {"#pretraining--tiny", "#pretraining--all"} <= set(made[1].addresses)
    told = "It is not known whether these weights have heard the test clips."
    assert f"starting weights from pretrained/SSAST-<1>.pth . {told}" in made[1].text
    assert made[1].text.count(told) == 1
    assert "†: not known whether these weights" in made[1].text
    assert made[1].text.count("Trained on 10 % of the training part.") == 1


def test_transductive_is_said_at_the_corpus_and_beside_every_model_made_from_it(made):
    page = made[1]
    sections = dict(
        re.findall(r'<section class="(?:model|dataset)" id="([^"]+)">(.*?)(?=<section|<footer)', page.source, re.S)
    )
    alarmed = {name for name, text in sections.items() if 'class="alert"' in text}
    assert alarmed == {"esc--heard", "pretraining--all", "pretraining--chained"}
    assert "Test clips were not left out of this corpus" in sections["pretraining--all"]
    assert "whose own corpus held test clips" in sections["pretraining--chained"]
    compared = [row[:2] for row in page.rows if len(row) == 7 and "heard" in row[0] + row[1]]
    assert len(compared) == 3
    assert all("heard transductive" in pair for pair in compared)


def test_a_corpus_is_told_with_what_was_left_out(made):
    page = made[1]
    assert "A corpus for each test part, without its clips: esc folds 1–2." in page.text
    assert ["esc", "4", "200", "145–146", "10", "0.30", "41–42 test part, 3 same recording"] in page.rows
    assert page.text.count("too short to mask") == 1
    assert "No test clips. 1,200 clips too short to mask." in page.text
    assert ["field", "0.25", "30,000", "28,500", "1,500", "50.00", "none"] in page.rows
    assert "To reconstruct the masked patches (MSE); 48 of 62 patches are masked." in page.text
    assert "ours on esc" in page.text


def test_pre_trainings_have_a_row_a_run_and_no_column_that_is_not_theirs(made):
    (summary, *_), page = made
    table = read_table(summary / "pretraining.csv").query("ssl == 'tiny'")
    header = ["Test part left out", "Seed", "Best check", "Steps", "Told apart", "InfoNCE", "MSE"]
    assert header in [row[:7] for row in page.rows]
    for fold, row in enumerate(table.itertuples(), 1):
        losses = [f"{value:.3f}" for value in (row.val_accuracy, row.val_nce, row.val_mse)]
        expected = [f"esc fold {fold}", "0", f"{row.best_check} of 30", "3,000", *losses]
        assert expected in [found[:7] for found in page.rows]


def test_paired_differences_are_told_with_their_intervals(made):
    (summary, *_), page = made
    paired = read_table(summary / "paired.csv").set_index(["model_a", "model_b", "metric"])
    (row,) = [row for row in page.rows if row[:2] == ["m2", "ours"]]
    for metric, cells in zip(("accuracy", "mAP"), (row[3:5], row[5:7]), strict=True):
        found = paired.loc["m2", "ours", metric]
        low, high = (f"{value:+.3f}".replace("-", "−") for value in (found["low"], found["high"]))
        assert cells == [f"{found['difference']:+.3f}".replace("-", "−"), f"{low} to {high}"]
    assert not [row for row in page.rows if "m2-10" in row[:2] and len(row) == 7]  # of other shares of labels
    assert "Models that train on different shares of the labels are compared in paired.csv" in page.text
    assert page.source.count('class="clear"') == sum(
        (a != "m2-10" and b != "m2-10") and (rows["low"] > 0 or rows["high"] < 0)
        for (a, b, _), rows in paired.iterrows()
    )


def test_held_out_parts_in_words():
    assert _held_out("esc:1 esc:2 esc:3 esc:5 a-b:1") == "esc folds 1–3, 5, a-b fold 1"
    assert _held_out("") == ""


def test_near_copies_are_listed_worst_first_and_the_rest_counted(made):
    page = made[1]
    pairs = [row for row in page.rows if row and row[0].startswith("s1_")]
    assert [row[0] for row in pairs] == [f"s1_{i}" for i in range(20)]
    assert pairs[0] == ["s1_0", "s2_0", "1", "test", "0.990", "0.950"]
    assert "3 more are in near_copies.csv" in page.text
    assert ["Near copies of training clips", "0", "0–23", ""] in page.rows
    assert page.source.count('class="alarm"') == 1


def test_ingest_is_told_with_its_quarantine(made):
    page = made[1]
    for number in ("Clips 1,900", "Audio 3.2 h", "Unlabelled clips 12"):
        assert number in page.text
    assert ["encoding", "cp950"] in page.rows
    assert "tag columns that no class stands for: SubTag_<b> (3 clips)" in page.text
    assert "21 of the files (1.11 %) were left out: truncated files 21." in page.text
    assert ["a/鳥_0.wav", "tags.csv row 2", "truncated files", "2.1 s of 6 s"] in page.rows
    assert "1 more are in quarantine.csv" in page.text
    assert page.text.count("No file was left out.") == 1


def test_a_group_of_the_labs_own_and_given_parts_have_words(made, tmp_path):
    (summary, figures, splits), _ = made
    own = read_split({"scheme": "given", "group": "speaker"})
    write_page(summary, figures, {**splits, "field": own}, tmp_path / "own.html")
    text = Page(tmp_path / "own.html").text
    assert "How well are clips of a new speaker classified?" in text
    assert "it says of each clip whether it trains, chooses the epoch or tests" in text
    assert "Speakers also in training 0 0" in text


def test_notes_name_their_folds():
    rows = pd.DataFrame(
        {
            "fold": [1, 1, 2, 2],
            "part": ["val", "test"] * 2,
            "note": ["", "Owl (2)", "", "Bat (1)"],
            "value": [0, 1, 0, 1],
        }
    )
    assert _notes(rows) == "fold 1, test: Owl (2); fold 2, test: Bat (1)"
    assert _notes(rows.assign(note="Owl (2)")) == "Owl (2)"
    assert _notes(rows.assign(note=list("abcd"))).endswith("; 1 more in audit.csv")
    assert _notes(rows.assign(note="")) == ""


def test_ranges_say_their_unit_once():
    def span(*values):
        return _range(pd.Series(values), _span)

    assert span(3.0, 3.04) == "3.0 h"
    assert span(3.0, 4.5, float("nan")) == "3.0–4.5 h"
    assert span(0.5, 4.5) == "30 min – 4.5 h"
    assert span(float("nan")) == ""
    assert span(72, 2400) == "3–100 days"


def test_the_same_inputs_give_the_same_page(made, tmp_path):
    arguments, page = made
    write_page(*arguments, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page.source


def test_spread_leaves_out_what_is_undefined():
    assert Spread.of([0.5, float("nan"), 0.7]) == Spread(pytest.approx(0.6), pytest.approx(0.1414, abs=1e-4), 2)
    assert Spread.of([0.5]) == Spread(0.5, None, 1)
    assert Spread.of([float("nan")]) == Spread(None, None, 0)
