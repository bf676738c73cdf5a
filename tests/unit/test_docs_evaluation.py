"""What docs/evaluation.md names exists, all metrics are in it, and its figures are those of the code."""

import copy
import re

import numpy as np
import pytest
from snakemake.utils import update_config

from docs_pages import settings
from helpers import REPO, merged_config
from tymbal.config import Config, Evaluation, load
from tymbal.config.data import SUBSETS
from tymbal.evaluate import intervals, paired, summary
from tymbal.evaluate.bootstrap import draw_groups
from tymbal.evaluate.dependence import COLUMNS as DEPENDENCE
from tymbal.evaluate.disagreements import N_SHOWN
from tymbal.evaluate.measure import SLICED
from tymbal.evaluate.metrics import evaluate
from tymbal.evaluate.slices import MOST_CLASSES, MOST_LEVELS
from tymbal.evaluate.targets import MEANING
from tymbal.evaluate.weighted import N_BINS, Draws
from tymbal.plan import Plan
from tymbal.report.catalog import FIGURES

PAGE = REPO / "docs" / "evaluation.md"
TEXT = PAGE.read_text(encoding="utf-8")
WORDS = " ".join(TEXT.split())
PROSE = re.sub(r"```.*?```", "", TEXT, flags=re.S)
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", PROSE)))
RULES = "".join(path.read_text(encoding="utf-8") for path in (REPO / "workflow" / "rules").glob("*.smk"))


def rows(single_label):
    """All rows that a set of clips with every kind of label gives."""
    labels = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    scores = np.random.default_rng(0).random((6, 3))
    draws = Draws(np.arange(6), draw_groups(6, 5, 0))
    thresholds = {"fixed": 0.5, "chosen": 0.4}
    return evaluate(scores, labels, "abc", "any", thresholds, single_label, calibrated=scores, draws=draws)


def names_of_settings(schema):
    """All keys and all values to choose from."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from (value for value in schema.get("enum", []) if isinstance(value, str))
        yield from filter(None, [schema.get("const")])
        for inner in schema.values():
            yield from names_of_settings(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from names_of_settings(inner)


@pytest.fixture(scope="module")
def known():
    """What may be quoted: metrics, settings with their values, columns, parts of rows, files, figures."""
    found = {row.metric for row in rows(True)} | {"_calibrated", "fixed", "chosen", "recording-max", "recording-mean"}
    found |= {*names_of_settings(Config.model_json_schema()), *Evaluation().slices, *FIGURES}
    found |= {*summary.METRICS, *intervals.KEY, *paired.COLUMNS, *DEPENDENCE, "untagged", "tagged", "val_mAP"}
    return found | set(re.findall(r'/([\w.]+)"', RULES))  # files that rules make


@pytest.mark.parametrize("quoted", QUOTED)
def test_what_is_quoted_exists(quoted, known):
    if "/" in quoted:
        assert (REPO / quoted).exists() or f'"{quoted}"' in RULES
    elif quoted.startswith("snakemake "):
        assert f"\nrule {quoted.split()[1]}:" in RULES
    else:
        key, _, value = quoted.partition(": ")
        assert {key} <= known or set(key.split(".")) <= known
        assert value in ("", "true", "false") or value in known or re.fullmatch(r"[\d.]+", value)


def test_every_metric_is_explained():
    tables = re.findall(r"^\| (`.+?) \|", TEXT.split("## Metrics")[1].split("\n## ")[0], flags=re.M)
    told = set(re.findall("`([^`]+)`", " ".join(tables)))
    assert told == {row.metric.removesuffix("_calibrated") for row in rows(True)}


def test_metrics_of_single_labels_are_marked():
    only_single = {row.metric for row in rows(True)} - {row.metric for row in rows(False)}
    assert set(re.findall(r"^\| `(\w+)` \| single-label only", TEXT, flags=re.M)) == only_single


def test_metrics_of_probabilities_are_those_with_a_calibrated_twin():
    twins = {row.metric.removesuffix("_calibrated") for row in rows(True) if row.metric.endswith("_calibrated")}
    line = re.search(r"^\| (.+?) \| of the scores as probabilities", TEXT, flags=re.M)[1]
    assert set(re.findall("`([^`]+)`", line)) == twins


def test_rules_and_slices_are_all_explained():
    section = TEXT.split("## What is positive")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, flags=re.M)) == set(MEANING)
    section = TEXT.split("## Slices")[1].split("\n## ")[0]
    assert set(Evaluation().slices) <= set(re.findall("`([^`]+)`", section))
    assert {metric for metric, _ in SLICED} == {"mAP_macro", "prevalence_macro", "AUC_macro", "F1_macro", "accuracy"}
    assert "has mAP with its chance level, AUC, F1 and accuracy of parts" in WORDS


def test_figures_told_are_those_of_the_settings():
    defaults = Evaluation()
    assert f"{defaults.bootstrap.draws:,} times (`evaluation.bootstrap.draws`)" in WORDS
    assert defaults.bootstrap.group == "recording" and "as many recordings as the test part has are drawn" in WORDS
    assert f"`precision: {defaults.choose.precision}`" in WORDS
    assert (
        f"With `shrink: {defaults.choose.shrink:g}`, a class of {defaults.choose.shrink:g} positives is half" in WORDS
    )
    assert f"shows F1 at {defaults.threshold} and at the chosen" in WORDS
    assert N_BINS == 10 and "into ten bins" in WORDS
    assert MOST_CLASSES == 4 and "(1, 2, 3, 4+ classes in a clip)" in WORDS
    assert f"more than {MOST_LEVELS} levels" in WORDS
    assert 2 * N_SHOWN == 12 and "see and hear a dozen" in WORDS
    *below, _ = map(str, SUBSETS)
    assert f"{', '.join(below[:-1])} or {below[-1]} % of the training part" in WORDS


def test_the_example_is_valid_and_a_learning_curve():
    (example,) = settings(PAGE)
    raw = merged_config(REPO / "config" / "config.yaml")
    update_config(raw, copy.deepcopy(example))
    plan = Plan(load(raw))
    assert plan.families == {"mine": "mine", "mine-10": "mine"}
    assert {run.seed for run in plan.runs} == {0, 1, 2}
