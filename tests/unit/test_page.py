"""The page over all experiments: self-contained, safe against any class name, honest about what is undefined."""

import re
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pytest

from fake_report import NASTY, Project, write_project
from pages import Page
from tymbal.config import load
from tymbal.evaluate.tables import read_table, write_table
from tymbal.report import comparison
from tymbal.report.catalog import FIGURES
from tymbal.report.document import Page as Document
from tymbal.report.document import PageFigure
from tymbal.report.numbers import Estimate, at_time, code, decimals, duration, probability, signed
from tymbal.report.pretrainings import _held_out


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return write_project(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def index(project) -> Page:
    return Page(project.write_index())


def overview(page: Page) -> dict[tuple[str, str], list[str]]:
    """Cells of each model's row: model and data set, then starts from, runs, classes, chance, mAP, bar and others."""
    return {(row[0], row[1]): row[2:] for row in page.table("Models on test clips")[1:]}


def test_nothing_is_fetched(index, project):
    pages = {f"{dataset}--{model}.html" for dataset, model in project.pairs}
    assert pages <= set(index.addresses)
    assert {"#overview", "#field", "#esc", "#pretraining--tiny"} <= set(index.addresses)
    assert all(address.startswith(("data:", "#")) or address.split("#")[0] in pages for address in index.addresses)
    assert not {"link", "iframe", "object"} & set(index.tags)
    assert "@import" not in index.source
    assert not re.search(r"url\((?!data:)", index.source)
    assert "default-src 'none'" in index.source


def test_sentences_are_apart(index):
    assert "different shares of the labels" in index.text
    assert index.run_together() == []


def test_what_was_not_found_is_not_listed(index):
    facts = dict(index.table("How it was read")[1:])
    assert facts == {"encoding": "cp950", "file names of pattern 1 in name_patterns": "1900"}


def test_the_audit_shows_what_decided(index):
    (row,) = [row for row in index.table("What the held-out parts share with training") if "half a day" in row[0]]
    assert row[1:3] == ["53–54 %", "53–54 %"]


def test_links_lead_somewhere(index):
    assert {address[1:] for address in index.addresses if address.startswith("#")} <= set(index.ids)
    assert len(index.ids) == len(set(index.ids))


def test_class_names_are_escaped(index):
    assert NASTY not in index.source
    assert NASTY in index.text


def test_headings_and_tables_can_be_found_by_those_who_do_not_see(index):
    levels = [int(tag[1]) for tag in index.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert index.tags.count("caption") == index.tags.count("table")
    assert {"header", "nav", "main", "footer"} <= set(index.tags)
    assert not re.search(r"<th(?![^>]*scope=)[ >]", index.source)


def test_the_overview_tells_estimates_with_their_intervals(index, project):
    found = read_table(project.summary / "intervals.csv").set_index(["dataset", "model", "metric", "class", "unit"])
    for dataset, model in project.pairs:
        row = found.loc[dataset, model, "mAP_macro", "", "clip"]
        told = f"{row['value']:.3f} ({row['low']:.2f}–{row['high']:.2f})"
        (cells,) = [cells for key, cells in overview(index).items() if key[0].split()[0] == model]
        assert cells[4] == told
    prevalence = read_table(project.summary / "metrics.csv").query("dataset == 'field' and metric == 'prevalence'")
    chance = prevalence.query("n_pos > 0 and unit == 'clip'")["value"].mean()
    assert overview(index)["m1", "field"][2:4] == ["2 of 3", f"{chance:.3f}"]


def test_accuracy_only_where_clips_have_one_class(index):
    rows = overview(index)
    assert rows["m1", "field"][-1] == "–"
    assert re.match(r"[01]\.\d{3} \(", rows["m2", "esc"][-1])


def test_unfinished_work_is_told(index, project, tmp_path):
    assert "10 of 14 runs have results." in index.text
    assert overview(index)["m1", "field"][1] == "4 of 8"
    assert overview(index)["m2", "esc"][1] == "1"
    copied = project.copy(tmp_path)
    planned = read_table(project.summary / "planned.csv")
    planned.loc[planned["model"] == "heard", "n_done"] = 0
    runs = read_table(project.summary / "runs.csv").query("model != 'heard'")
    write_table(runs, copied.summary / "runs.csv")
    planned.loc[len(planned)] = ["birds", "m1", 3, 0]
    write_table(planned, copied.summary / "planned.csv")
    page = Page(copied.write_index())
    assert overview(page)["heard", "esc"] == ["no results yet: 0 of 1 runs"]
    assert overview(page)["m1", "birds"] == ["no results yet: 0 of 3 runs"]
    assert not {"esc--heard.html", "birds--m1.html", "#birds"} & set(page.addresses)


def test_the_first_sentence_holds_for_transductive_models_too(index, project, tmp_path):
    told = "chose its epoch, its thresholds or its calibration"
    assert f"{told}, but for those marked transductive, whose starting weights had heard them." in index.text
    copied = project.copy(tmp_path)
    write_table(read_table(project.summary / "runs.csv").assign(test_clips="clean"), copied.summary / "runs.csv")
    assert f"{told}." in Page(copied.write_index()).text


def test_the_overview_says_what_each_model_starts_from(index):
    starts = {model: cells[0] for (model, dataset), cells in overview(index).items() if dataset == "esc"}
    assert starts == {
        "m2": "scratch",
        "m2-10 10 % of labels": "scratch",
        "public": "SSAST-<1>.pth †",
        "ours": "tiny",
        "heard": "all transductive",
        "mixes": "stage2",
    }
    assert {"#pretraining--tiny", "#pretraining--all", "#pretraining--stage2"} <= set(index.addresses)
    assert "†: not known whether these weights" in index.text


def test_the_split_says_what_scores_answer(index):
    assert "How well are recordings of a new site classified?" in index.text
    assert "How well are new recordings classified" in index.text
    assert "2 folds: every labelled clip is in the test part of exactly one." in index.text
    told = "One split: 72 % of the labelled clips train, 11 % choose epoch, thresholds and calibration, 17 % test."
    assert told in index.text


def test_paired_differences_are_told_with_their_intervals(index, project):
    paired = read_table(project.summary / "paired.csv").query("slice == ''").set_index(["model_a", "model_b", "metric"])
    head, *rows = index.table("Paired differences on the same test clips")
    assert head == ["A", "B", "Folds", "mAP, B − A", "Accuracy, B − A", "ROC AUC, B − A"]
    (row,) = [row for row in rows if row[:2] == ["m2", "ours"]]
    for metric, cell in zip(("mAP_macro", "accuracy", "AUC_macro"), row[3:], strict=True):
        found = paired.loc["m2", "ours", metric]
        assert cell == "{} ({} to {})".format(*(signed(found[name]) for name in ("difference", "low", "high")))
    compared = [pair for pair in paired.index.droplevel("metric").unique() if "m2-10" not in pair]
    assert len(rows) == len(compared)  # those of other shares of labels are left to the table
    assert "Models that train on different shares of the labels are compared in paired.csv" in index.text
    assert sum("transductive" in cell for row in rows for cell in row) == 4
    clear = [
        (pair, metric)
        for (*pair, metric), told in paired.iterrows()
        if tuple(pair) in compared
        and metric in ("mAP_macro", "accuracy", "AUC_macro")
        and (told["low"] > 0 or told["high"] < 0)
    ]
    whole, _ = index.source.split("Parts of the test clips")
    assert whole.count('class="better"') == len(clear) > 0


def test_paired_differences_are_told_of_parts_of_the_clips(index, project, tmp_path):
    paired = read_table(project.summary / "paired.csv").set_index(["slice", "level", "metric", "model_a", "model_b"])
    head, *rows = index.table("mAP, B − A, by season")
    assert head == ["A", "B", "Dec-Feb", "Mar-May"]
    assert not any("m2-10" in row[:2] for row in rows)
    (row,) = [row for row in rows if row[:2] == ["m2", "ours"]]
    for level, cell in zip(head[2:], row[2:], strict=True):
        found = paired.loc["season", level, "mAP_macro", "m2", "ours"]
        assert cell == "{} ({} to {})".format(*(signed(found[name]) for name in ("difference", "low", "high")))
    assert "mAP, B − A, by hour of the day" in index.captions
    copied = project.copy(tmp_path)
    table = paired.reset_index()
    table.loc[(table["level"] == "Dec-Feb") & (table["model_b"] == "ours"), "n_folds"] = 0
    better = (table["level"] == "Mar-May") & (table["metric"] == "mAP_macro") & (table["model_b"] == "ours")
    table.loc[better, ["difference", "low", "high"]] = [0.123, 0.1, 0.2]
    table.loc[table["slice"] == "signal_level", "n_folds"] = 0  # as for models with different front ends
    table = pd.concat([table, *(table[table["slice"] == "hour"].assign(level=f"{h:02d}") for h in range(9))])
    write_table(table, copied.summary / "paired.csv")
    page = Page(copied.write_index())
    (row,) = [row for row in page.table("mAP, B − A, by season") if row[:2] == ["m2", "ours"]]
    assert row[2:] == ["–", "+0.123 (+0.100 to +0.200)"]
    assert '<span class="better">+0.123</span>' in page.source
    assert not {"mAP, B − A, by signal level", "mAP, B − A, by hour of the day"} & set(page.captions)


def test_pairs_that_are_not_shown_are_counted_in_each_table(index, project, tmp_path, monkeypatch):
    assert "more pairs are in" not in index.text
    monkeypatch.setattr(comparison, "SHOWN", 1)
    table = read_table(project.summary / "paired.csv")
    others = (table["slice"] == "season") & ~((table["model_a"] == "m2") & (table["model_b"] == "ours"))
    copied = project.copy(tmp_path)
    write_table(table[~others], copied.summary / "paired.csv")
    page = Page(copied.write_index())
    of_all = len(index.table("Paired differences on the same test clips")) - 2
    of_hours = len(index.table("mAP, B − A, by hour of the day")) - 2
    assert of_all > 0 < of_hours
    after = page.text.split("Paired differences on the same test clips")[1]
    assert f"{of_all} more pairs are in paired.csv" in after.split("Parts of the test clips")[0]
    of_slice = {text.split()[0]: text for text in after.split("mAP, B − A, by ")[1:]}
    assert f"{of_hours} more pairs are in paired.csv" in of_slice["hour"]
    assert len(page.table("mAP, B − A, by season")) == 2
    assert "more pairs are in" not in of_slice["season"]


def test_models_of_the_same_share_of_labels_are_compared(project, tmp_path):
    copied = project.copy(tmp_path)
    write_table(read_table(project.summary / "runs.csv").assign(label_percent=10), copied.summary / "runs.csv")
    rows = Page(copied.write_index()).table("Paired differences on the same test clips")
    assert ["m2 10 % of labels", "ours 10 % of labels"] in [row[:2] for row in rows]


def test_published_numbers_stand_apart(index):
    (row,) = index.table("Results of others on this data set, as they published them")[1:]
    assert row == ["SSAST <base>", "accuracy", "0.888", "arXiv 2110.09784, Table 2"]
    assert not any("SSAST <base>" in cells for cells in overview(index))
    assert "Not measured here" in index.text


def test_points_of_label_curves_have_their_number_of_seeds(index, project):
    rows = index.table("Points of the label curves")[1:]
    assert [row[:5] for row in rows] == [["m2", "10 %", "280", "1", "1"], ["m2", "100 %", "280", "1", "1"]]
    head = index.table("Points of the label curves")[0]
    accuracy = read_table(project.summary / "intervals.csv").query("model == 'm2' and metric == 'accuracy'")
    value = accuracy.query("unit == 'clip'")["value"].item()
    assert rows[1][head.index("Accuracy")].startswith(f"{value:.3f} (")
    assert "Some points are of fewer than 3 seeds" in index.text


def test_transductive_is_said_at_the_corpus(index):
    sections = dict(re.findall(r'<section[^>]* id="([^"]+)">(.*?)</section>', index.source, re.S))
    alarmed = {name for name, text in sections.items() if 'class="alert"' in text}
    assert alarmed == {"pretraining--all", "pretraining--chained"}
    assert "Test clips were not left out of this corpus" in sections["pretraining--all"]
    assert "whose own corpus held test clips" in sections["pretraining--chained"]


def test_a_corpus_is_told_with_what_was_left_out(index):
    assert "A corpus for each test part, without its clips: esc folds 1–2." in index.text
    corpus = index.table("Corpus")
    assert ["esc", "4", "200", "145–146", "10", "0.30", "41–42 test part, 3 same recording"] in corpus
    assert ["field", "0.25", "30,000", "28,500", "1,500", "50.00", "none"] in corpus
    assert index.text.count("too short to mask") == 1
    assert "No test clips. 1,200 clips too short to mask." in index.text
    assert "To reconstruct the masked patches (MSE); 48 of 62 patches are masked." in index.text
    assert "ours on esc" in index.text


def test_pre_trainings_have_a_row_a_run_and_no_column_that_is_not_theirs(index, project):
    table = read_table(project.summary / "pretraining.csv").query("ssl == 'tiny'")
    runs = index.table("Runs")
    assert runs[0][:7] == ["Test part left out", "Seed", "Check kept", "Steps", "Told apart", "InfoNCE", "MSE"]
    for fold, row in enumerate(table.itertuples(), 1):
        losses = [f"{value:.3f}" for value in (row.val_accuracy, row.val_nce, row.val_mse)]
        assert [f"esc fold {fold}", "0", f"{row.best_check} of 30", "3,000", *losses] == runs[fold][:7]
        assert runs[fold][7] == f"{row.val_spread:.3f} / {row.val_spread_patches:.3f}"


def test_what_a_teacher_made_is_told_beside_the_others(index):
    """SSLAM's stages and SSAST's objectives, in one report."""
    section = index.source.split('id="pretraining--stage2"')[1].split("</section>")[0]
    assert "of mixtures also what it makes of each of the two; 48 of 62 patches are masked." in section
    assert "at the check that was kept: the last." in section
    assert "as the teacher moves" in section
    tables = [rows for rows, caption in zip(index.tables, index.captions, strict=True) if caption == "Runs"]
    heads = [rows[0][4:-4] for rows in tables]
    assert heads[0] == ["Told apart", "InfoNCE", "MSE"]
    assert ["Class token", "Patches", "Spread of predictions"] in heads
    mixed = ["Class token, clips", "Patches, clips", "Class token, mixtures", "Patches, mixtures", "Retention"]
    assert [*mixed, "Spread of predictions"] in heads
    assert index.source.count("kept: that with the smallest loss on held-out recordings.") == 3  # of SSAST's
    paragraph = next(text for text in index.source.split("<details>") if "<summary>mixes " in text)
    assert "BibTeX" in paragraph
    assert "alex2025sslam" in paragraph


def test_figures_have_their_captions(index):
    shown = [key for key, kind in FIGURES.items() if kind.scope != "model"]
    assert sorted(index.images) == sorted(
        f"{FIGURES[key].title}: {'tiny' if FIGURES[key].scope == 'pretraining' else dataset}"
        for key in shown
        for dataset in [{"dataset": "field"}.get(FIGURES[key].scope, "esc")]
    )
    assert all(FIGURES[key].caption in index.text for key in shown)


def test_methods_of_each_model_are_there(index, project):
    assert index.text.count("BibTeX") == len(project.pairs)
    assert index.source.count("@misc") + index.source.count("@software") >= len(project.pairs)


def test_the_same_inputs_give_the_same_page(index, project, tmp_path):
    again = project.write_index(tmp_path / "report/again.html")
    assert again.read_text(encoding="utf-8") == index.source


def test_a_group_of_the_labs_own_and_given_parts_have_words(project, tmp_path):
    raw = project.config.model_dump(mode="json")
    source = {"format": "multihot", "audio": "a", "table": "t.csv", "columns": ["speaker"], "fold_column": "part"}
    raw["datasets"]["field"] |= {"source": source, "split": {"scheme": "given", "group": "speaker"}}
    own = Project(load(raw), project.summary, project.figures)
    text = Page(own.write_index(tmp_path / "own.html")).text
    assert "How well are clips of a new speaker classified?" in text
    assert "it says of each clip whether it trains, validates or tests" in text
    assert "Speakers also in training 0 0" in text


def test_what_does_not_fit_is_linked(tmp_path):
    """In the order in which they come; what is smaller and comes later may still fit."""
    figures = []
    for key, size in (("per-class-ap", 300), ("pr-curves", 900), ("confusion", 300)):
        figures.append(PageFigure(key, {"dataset": "d", "model": "m"}, tmp_path / f"figures/{key}.svg"))
        figures[-1].path.parent.mkdir(exist_ok=True)
        figures[-1].path.write_bytes(b"x" * size)
    page = Document(tmp_path / "report/page.html", limit=1000)
    shown = page.figures(figures, {"dataset": "d", "model": "m"})
    assert [figure.data is not None for figure in shown] == [True, False, True]
    assert page.used == sum(len(figure.data) for figure in shown if figure.data) <= 1000
    assert shown[1].link == "../figures/pr-curves.svg"


def test_held_out_parts_in_words():
    assert _held_out("esc:1 esc:2 esc:3 esc:5 a-b:1") == "esc folds 1–3, 5, a-b fold 1"
    assert _held_out("") == ""


def test_numbers_have_one_form():
    assert [decimals(value) for value in (0.12345, -0.5, None, float("nan"))] == ["0.123", "−0.500", "–", "–"]
    assert [signed(value) for value in (0.1, -0.1, -1e-5, float("nan"))] == ["+0.100", "−0.100", "+0.000", "–"]
    assert [probability(value) for value in (0, 0.0099, 0.01, 0.55, 0.99, 1)] == [
        "< 0.01",
        "< 0.01",
        "0.01",
        "0.55",
        "0.99",
        "> 0.99",
    ]
    assert [duration(value) for value in (0.5, 59, 95, float("nan"))] == ["30 s", "59 min", "1 h 35 min", "–"]
    assert [duration(value) for value in (59.7, 119.6)] == ["1 h 00 min", "2 h 00 min"]
    assert [at_time(value) for value in (0, 6.04, 59.96, 3725.5)] == ["0:00.0", "0:06.0", "1:00.0", "1:02:05.5"]
    assert code("give `name` & <b>") == "give <code>name</code> &amp; &lt;b&gt;"
    row = {"value": 0.5, "low": float("nan"), "high": float("nan"), "n_runs": 2}
    assert Estimate.of(row) == Estimate(0.5, None, None, 2)


def test_no_page_is_larger_than_15_mb(project, tmp_path):
    """With figures for 20 MB, and the sounds besides."""
    figures = []
    for i, key in enumerate(("per-class-ap", "pr-curves", "confusion", "slices", "training-curves")):
        figures.append(PageFigure(key, {"dataset": "field", "model": "m1"}, tmp_path / f"figures/{i}.svg"))
        figures[-1].path.parent.mkdir(exist_ok=True)
        figures[-1].path.write_bytes(b"<svg>" + b" " * 4_000_000)
    out = replace(project, figures=figures).write_page("field", "m1", tmp_path / "report/page.html")
    assert 10_000_000 < out.stat().st_size < 15_000_000
    linked = [address for address in Page(out).addresses if address.endswith(".svg")]
    assert sorted(linked) == ["../figures/2.svg", "../figures/3.svg", "../figures/4.svg"]
