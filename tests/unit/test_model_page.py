"""The page of one model: every number with its interval, doubts that can be heard, and where it all comes from."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from matplotlib.image import imread

from fake_report import ESC, FIELD, NASTY, Project, write_project
from pages import Page
from tymbal.config import load
from tymbal.evaluate.tables import read_table, write_table
from tymbal.report import document
from tymbal.report.catalog import FIGURES
from tymbal.report.provenance_section import provenance

OWN = {"dataset": "field", "model": "m1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return write_project(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def page(project) -> Page:
    return Page(project.write_page(**OWN))


@pytest.fixture(scope="module")
def single(project) -> Page:
    """Of single labels and one run."""
    return Page(project.write_page("esc", "heard"))


@pytest.fixture(scope="module")
def estimates(project) -> pd.DataFrame:
    table = read_table(project.summary / "intervals.csv").query("dataset == 'field' and model == 'm1'")
    return table.set_index(["metric", "class", "thresholds", "unit"])


def told(estimates, metric, name="", thresholds="", unit="clip", digits=3) -> str:
    row = estimates.loc[(metric, name, thresholds, unit)]
    return f"{row['value']:.{digits}f} ({row['low']:.{digits - 1}f}–{row['high']:.{digits - 1}f})"


def test_nothing_is_fetched(page):
    assert {address for address in page.addresses if not address.startswith(("data:", "#"))} == {
        "index.html",
        "index.html#field",
    }
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert "default-src 'none'" in page.source
    assert NASTY not in page.source


def test_links_lead_somewhere(page, single, project):
    for each in (page, single):
        assert {address[1:] for address in each.addresses if address.startswith("#")} <= set(each.ids)
        assert len(each.ids) == len(set(each.ids))
    index = Page(project.write_index())
    linked = {address for address in (*page.addresses, *single.addresses) if address.startswith("index.html#")}
    assert {address.removeprefix("index.html#") for address in linked} <= set(index.ids)


def changed(project, root, name, change) -> Page:
    """The page of `field` made from a summary table that is not as it was."""
    copied = project.copy(root)
    table = read_table(project.summary / f"{name}.csv")
    write_table(change(table), copied.summary / f"{name}.csv")
    return Page(copied.write_page(**OWN))


def test_sentences_are_apart(page, single):
    assert page.run_together() == single.run_together() == []


def test_headlines_have_interval_and_spread_over_seeds(page, single, project, estimates):
    row = estimates.loc["mAP_macro", "", "", "clip"]
    metrics = read_table(project.summary / "metrics.csv").query("dataset == 'field' and metric == 'mAP_macro'")
    runs = metrics.query("unit == 'clip'")
    seeds = [runs.loc[runs["seed"] == seed, "value"].mean() for seed in (0, 1)]
    assert f"mAP {row['value']:.3f} {row['low']:.3f}–{row['high']:.3f}" in page.text
    assert np.mean(seeds) == pytest.approx(row["value"])
    assert f"standard deviation over 2 seeds {np.std(seeds, ddof=1):.3f}" in page.text
    assert "means over 4 runs (2 folds, 2 seeds), 40 test clips each" in page.text
    assert "30 draws of 40 recordings" in page.text
    assert "2 of 3 classes are evaluable" in page.text
    assert "Accuracy" not in page.text
    assert re.search(r"Accuracy [01]\.\d{3}", single.text)
    assert "standard deviation over" not in single.text
    assert "one run with 40 test clips" in single.text
    assert "Few recordings: with 20 of them intervals are a hint" in single.text
    assert "Few recordings" not in page.text


def test_an_interval_without_an_upper_end_says_so(project, tmp_path):
    def unbounded(table):
        mine = table["metric"] == "dprime_of_mean_AUC"
        table.loc[mine, ["value", "low", "high"]] = 2.5, 2.125, np.nan
        return table

    text = changed(project, tmp_path, "intervals", unbounded).text
    assert "d′ 2.50 2.12 or more" in text
    assert "2.50 (2.1 or more)" in text


def test_folds_are_not_taken_for_seeds(project, tmp_path):
    one_seed = changed(project, tmp_path, "metrics", lambda table: table[table["seed"] == 0])
    assert "standard deviation over" not in one_seed.text


def test_labels_of_one_class_a_clip_are_not_told_of_as_tags(page, single):
    assert "Target rule any : positive with any tag, main or sub." in page.text
    assert "Target rule any : every clip has exactly one class." in single.text
    assert "to label weights" in page.text
    assert "to label weights" not in single.text


def test_clips_and_recordings_stand_side_by_side(page, estimates):
    rows = {row[0]: row[1:] for row in page.table("Clips, and recordings")}
    assert rows["Metric"] == ["Clips", "Recordings, maximum", "Recordings, mean"]
    units = ("clip", "recording-max", "recording-mean")
    assert rows["mAP"] == [told(estimates, "mAP_macro", unit=unit) for unit in units]
    assert rows["F1"] == [told(estimates, "F1_macro", "", "chosen", unit) for unit in units]


def test_classes_have_interval_and_chance(page, project, estimates):
    rows = {row[0]: row[1:] for row in page.table("Ranking, by class")[1:]}
    assert list(rows) == FIELD
    metrics = read_table(project.summary / "metrics.csv").query("dataset == 'field' and metric == 'AP' and seed == 0")
    n_pos = metrics.groupby(["class", "unit"])["n_pos"].sum()["鳥"]  # of both folds, each clip once
    assert rows["鳥"][:2] == [str(n_pos["clip"]), str(n_pos["recording-max"])]
    assert n_pos["recording-max"] < n_pos["clip"]
    assert rows["鳥"][3] == told(estimates, "AP", "鳥")
    assert rows["Owl"][:4] == ["0", "0", "–", "not evaluable (0 positives)"]


def test_chance_is_of_the_runs_that_have_an_average_precision(project, tmp_path):
    def without_fold_2(table):
        mine = (table["class"] == "鳥") & (table["fold"] == 2) & (table["dataset"] == "field")
        table.loc[mine, "n_pos"] = 0
        table.loc[mine & (table["metric"] == "prevalence"), "value"] = 0.0
        table.loc[mine & (table["metric"] == "AP"), "value"] = np.nan
        return table

    page = changed(project, tmp_path, "metrics", without_fold_2)
    metrics = read_table(project.summary / "metrics.csv").query("dataset == 'field' and unit == 'clip' and fold == 1")
    chance = metrics.query("metric == 'prevalence' and `class` == '鳥'")["value"].mean()
    (row,) = [row for row in page.table("Ranking, by class") if row[0] == "鳥"]
    assert row[3] == f"{chance:.3f}"


def test_thresholds_stand_before_and_after(page, project, estimates):
    *rows, mean = page.table("Thresholds, and what they change")[1:]
    mine = read_table(project.summary / "thresholds.csv").query("dataset == 'field' and `class` == '鳥'")
    (bird,) = [row for row in rows if row[0] == "鳥"]
    middle, low, high = (mine[name].mean() for name in ("threshold", "low", "high"))
    assert bird[1] == f"{middle:.2f} ({low:.2f}–{high:.2f})"
    assert bird[3:6] == [f"{mine['f1'].mean():.3f}", *(told(estimates, "F1", "鳥", at) for at in ("fixed", "chosen"))]
    before, after = (estimates.loc["recall", "鳥", at, "clip"]["value"] for at in ("fixed", "chosen"))
    assert bird[-1] == f"{before:.3f} → {after:.3f}"
    assert mean[4:6] == [told(estimates, "F1_macro", "", at) for at in ("fixed", "chosen")]
    (owl,) = [row for row in rows if row[0] == "Owl"]
    assert owl[3:] == ["–"] * 5


def test_precision_at_two_thresholds_is_of_the_same_classes(page, project, tmp_path):
    """A class that no score detects at 0.5 would make the mean at 0.5 one of other classes."""

    def undetected(table):
        mine = (table["class"] == "鳥") & (table["metric"] == "precision") & (table["thresholds"] == "fixed")
        table.loc[mine, "value"] = np.nan
        return table

    assert "of 2 classes" not in page.text
    *rows, mean = changed(project, tmp_path, "metrics", undetected).table("Thresholds, and what they change")[1:]
    (other, bird) = [next(row for row in rows if row[0] == name) for name in (NASTY, "鳥")]
    assert mean[6] == f"{other[6]} 1 of 2 classes"
    assert "classes" not in mean[7]
    assert re.fullmatch(r"– → [01]\.\d{3}", bird[6])


def test_what_calibration_keeps_depends_on_the_loss(project, single, tmp_path):
    assert "It changes no order of clips" in single.text
    raw = project.config.model_dump(mode="json")
    raw["models"]["heard"]["train"]["loss"] = "ce"
    softmax = Project(load(raw), project.summary, project.figures).write_page("esc", "heard", tmp_path / "ce.html")
    text = Page(softmax).text
    assert "It changes no order of clips" not in text
    assert "may change the order of clips in a class" in text


def test_calibration_stands_before_and_after(page, estimates):
    rows = page.table("How far probabilities are off, on test clips")[1:]
    assert [row[0].split(" ")[0] for row in rows] == ["Brier", "ECE", "Brier,", "BCE,"]
    for row, metric in zip(rows, ("Brier", "ECE", "soft_Brier", "soft_BCE"), strict=True):
        for cell, name in zip(row[1:], (metric, f"{metric}_calibrated"), strict=True):
            found = estimates.loc[name, "", "", "clip"]
            interval = f" ({found['low']:.3f}–{found['high']:.3f})" if metric != "ECE" else ""
            assert cell == f"{found['value']:.3f}{interval}"


def test_slices_have_a_table_each(page, project):
    table = read_table(project.summary / "slices.csv").query("dataset == 'field'")
    assert {"Classes in the clip", "Site"} <= set(page.captions)
    head, *rows = page.table("Site")
    assert head == ["Site", "Clips", "Recordings", "Classes", "mAP", "ROC AUC", "F1"]
    sites = table.query("slice == 'site' and metric == 'mAP_macro'")
    assert [row[:2] for row in rows] == sites[["level", "n_clips"]].astype(str).to_numpy().tolist()
    assert rows[0][4].startswith(f"{sites['value'].iloc[0]:.3f} (")


def test_parts_that_not_all_runs_have_say_so(page, project, tmp_path):
    def in_one_fold(table):
        table.loc[(table["dataset"] == "field") & (table["level"] == "S1"), "n_runs"] = 2
        return table

    rows = changed(project, tmp_path, "slices", in_one_fold).table("Site")[1:]
    assert [row[0] for row in rows[:2]] == ["S1 2 of 4 runs", "S2"]
    assert "of 4 runs" not in "".join(row[0] for row in page.table("Site"))


def test_doubtful_labels_can_be_seen_and_heard(page, single, project):
    with np.load(project.summary / "errors/field/m1.npz") as kept:
        n = len(kept["rank"])
        first = kept["fbank"][0][: kept["n_frames"][0]]
    sounds = re.findall(r'<audio controls preload="none" src="data:audio/mpeg;base64,([^"]+)"', page.source)
    assert len(sounds) == n > 0
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])))
    assert len(samples) / rate == pytest.approx(2, abs=0.2)
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="Spectrogram of [^"]+"', page.source)
    assert len(pictures) == n
    drawn = imread(io.BytesIO(base64.b64decode(pictures[0])))
    assert drawn.shape[:2] == first.T.shape
    bright = drawn[..., :3].sum(axis=2)[::-1].T  # time first, the lowest tone first
    assert np.corrcoef(bright.ravel(), first.astype(float).ravel())[0, 1] > 0.9
    table = read_table(project.summary / "disagreements.csv").query("dataset == 'field'")
    rows = page.table("Disagreements")[1:]
    assert [row[0] for row in rows] == [str(rank) for rank in table["rank"]][:100]
    worst = table.iloc[0]
    assert f"{worst['class']}: {'not tagged' if worst['kind'] == 'untagged' else 'tagged'}" in page.text
    assert "No audio: file not found: data: 夜/" in single.text
    assert "audio" not in single.tags


def test_figures_stand_in_their_sections(page):
    shown = [key for key, kind in FIGURES.items() if kind.scope == "model"]
    assert {f"{FIGURES[key].title}: m1 on field" for key in shown} <= set(page.images)
    sections = dict(re.findall(r'<section id="([^"]+)">(.*?)</section>', page.source, re.S))
    for place, key in (("classes", "per-class-ap"), ("slices", "slices"), ("training", "training-curves")):
        assert f'alt="{FIGURES[key].title}: m1 on field"' in sections[place]


def test_transductive_and_incomplete_are_said_first(page, single):
    assert page.text.index("Not complete. 4 of 8 runs have results") < page.text.index("Clips, and recordings")
    assert "Transductive." not in page.text
    assert "The starting weights were made from clips of the test part too." in single.text
    assert "Not complete" not in single.text


def test_every_run_is_listed(page, project):
    metrics = read_table(project.summary / "metrics.csv").query("dataset == 'field' and fold == 2 and seed == 1")
    value = metrics.query("unit == 'clip'").set_index(["metric", "class", "thresholds"])["value"]
    expected = ["2", "1", "40", "2", f"{value['mAP_macro', '', '']:.3f}"]
    assert expected in [row[:5] for row in page.table("Scores of each run, test clips")]
    assert len(page.table("Training of each run")) == 5


def test_provenance_tells_what_differs_between_runs(page, project):
    runs = read_table(project.summary / "runs.csv").query("dataset == 'field'").reset_index(drop=True)
    runs.loc[0, ["commit", "dirty", "slurm_job"]] = ["a" * 40, 1, "77"]
    facts = dict(provenance(runs))
    assert facts["Commit"] == f"{'a' * 40} with uncommitted changes, {'0' * 40}"
    assert facts["Slurm jobs"] == "77, none"
    assert facts["Image"] == "none: run outside a container"
    assert facts["Energy"].startswith(f"GPUs {0.05 * len(runs):.3g} kWh, processors not measured, ")
    runs.loc[1, "gpu_kwh"] = np.nan  # a sum of what is known would be too low
    assert dict(provenance(runs))["Energy"] == "not measured"
    unknown = runs.assign(commit="", dirty=np.nan)
    assert dict(provenance(unknown))["Commit"] == "–"
    assert f"Code digest of the training {runs['code'].iloc[0]}" in page.text


def test_the_configuration_is_that_of_the_experiment(single):
    (text,) = re.findall(r"<pre>(datasets:.*?)</pre>", single.source, re.S)
    found = yaml.safe_load(text)
    assert list(found["datasets"]) == ["esc"]
    assert found["datasets"]["esc"]["classes"] == ESC
    assert list(found["models"]) == ["heard"]
    assert list(found["pretraining"]) == ["all"]
    assert list(found["corpora"]) == ["everything"]
    assert found["evaluation"]["bootstrap"]["draws"] == 30


def test_methods_and_references_are_there(page):
    assert "The data set field (synthetic)" in page.text
    assert re.search(r"@\w+\{", page.source)


def test_the_same_inputs_give_the_same_page(page, project, tmp_path):
    again = project.write_page(**OWN, out=tmp_path / "report/again.html")
    assert again.read_text(encoding="utf-8") == page.source


def test_a_page_without_room_says_so(project, tmp_path, monkeypatch):
    monkeypatch.setattr(document.Page.__init__, "__defaults__", (500,))
    full = Page(project.write_page(**OWN, out=project.summary.parent / "report/full.html"))
    assert full.text.count("This figure would make the page too large.") > 0
    assert "No audio: this page is full" in full.text
    assert sum(len(address) for address in full.addresses if address.startswith("data:")) <= 500


def test_a_model_without_doubts_or_slices_has_a_page(project, tmp_path):
    copied = project.copy(tmp_path)
    for name in ("disagreements", "slices"):
        write_table(read_table(project.summary / f"{name}.csv").iloc[:0], copied.summary / f"{name}.csv")
    path = copied.summary / "errors/field/m1.npz"
    with np.load(path) as file:
        kept = {name: value if value.ndim == 0 else value[:0] for name, value in file.items()}
    np.savez(path, **kept | {"audio_offsets": np.zeros(1, dtype=int)})
    text = Page(copied.write_page(**OWN)).text
    assert "Model and label agree" in text
    assert "tells of nothing by which its clips could be told apart" in text
