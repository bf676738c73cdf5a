"""A made-up project as the rules leave it, up to the summary and its figures, to test the pages."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fake_runs import (
    EVALUATION,
    NET,
    corpus_facts,
    fake_frames,
    model_settings,
    write_dataset,
    write_pretraining,
    write_runs,
)
from tymbal.config import Config, load
from tymbal.evaluate.disagreements import COLUMNS, pick_errors
from tymbal.evaluate.paired import compare
from tymbal.evaluate.predictions import read_predictions
from tymbal.evaluate.sounds import Sound, mp3
from tymbal.evaluate.summary import collect, planned_runs, published
from tymbal.evaluate.tables import read_table, write_table
from tymbal.ingest.manifest import write_manifest
from tymbal.pretrain import summary as pretrain_summary
from tymbal.report.catalog import FIGURES
from tymbal.report.document import PageFigure
from tymbal.report.figures import draw
from tymbal.report.index_page import write_index
from tymbal.report.model_page import write_model_page
from tymbal.runs import Run

NASTY = '<script>alert("x")</script> & co'
FIELD, ESC = [NASTY, "鳥", "Owl"], ["rain", "dog"]
PUBLISHED = {"model": "SSAST <base>", "metric": "accuracy", "value": 0.888, "source": "arXiv 2110.09784, Table 2"}
STARTS: dict[str, dict[str, Any]] = {  # of the models on `esc`: what they start from, labels, skill
    "m2": {},
    "m2-10": {"label_percent": 10},
    "public": {"init": "pretrained/SSAST-<1>.pth"},
    "ours": {"init": {"ssl": "tiny", "seed": 0}, "corpora": [corpus_facts(1)], "skill": 9.0},
    "heard": {"init": {"ssl": "all", "seed": 0}, "corpora": [corpus_facts(1, transductive=True)]},
    "mixes": {
        "init": {"ssl": "stage2", "seed": 0},
        "corpora": [corpus_facts(1)],
        "net": {"arch": "sslam", "size": "tiny"},
    },
}


@dataclass(frozen=True)
class Project:
    """The inputs of the pages."""

    config: Config
    summary: Path
    figures: list[PageFigure]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(each.dataset, each.model) for each in self.config.experiments]

    @property
    def index(self) -> Path:
        return self.summary.parent / "report/index.html"

    def page(self, dataset: str, model: str) -> Path:
        return self.summary.parent / f"report/{dataset}--{model}.html"

    def copy(self, root: Path) -> "Project":
        """The same with a summary folder of its own, to be changed."""
        shutil.copytree(self.summary, root / "summary")
        return replace(self, summary=root / "summary")

    def write_index(self, out: Path | None = None) -> Path:
        write_index(self.config, self.summary, self.figures, out or self.index)
        return out or self.index

    def write_page(self, dataset: str, model: str, out: Path | None = None) -> Path:
        out = out or self.page(dataset, model)
        errors = self.summary / f"errors/{dataset}/{model}.npz"
        write_model_page(self.config, self.summary, dataset, model, self.figures, errors, out)
        return out


def write_project(root: Path, n_planned: int = 4, drawn: Collection[str] = ()) -> Project:
    """Two data sets: `field`, of two folds by two seeds, and `esc`, of single runs with all kinds of start.

    Args:
        root: folder for all files.
        n_planned: seeds that are planned on `field`, of which two are done.
        drawn: figures to draw; an empty drawing stands for the others.
    """
    runs = write_runs(root, "field", "m1", FIELD, n_folds=2, seeds=(0, 1), absent=["Owl"])
    for model, settings in STARTS.items():
        runs += write_runs(root, "esc", model, ESC, n_folds=1, single_label=True, **settings)
    pretrainings, corpora = write_pretraining(root, "tiny", 2)
    chained = {"init": {"ssl": "all", "seed": 0}, "before": corpus_facts(1, transductive=True)}
    heard = {"objective": "generative", "transductive": True, "n_short": 1200}
    stages = {
        "stage1": {"objective": "stage1"},
        "stage2": {"objective": "stage2", "init": {"ssl": "stage1", "seed": 0}, "before": corpus_facts(1)},
    }
    for ssl, settings in {"all": heard, "chained": chained, **stages}.items():
        further = write_pretraining(root / ssl, ssl, 1, **settings)
        pretrainings += further[0]
        corpora = further[1] | corpora
    folders = {
        "field": write_dataset(root / "field", FIELD, n_near=23, n_quarantined=21),
        "esc": write_dataset(root / "esc", ESC, 1, question="places not known"),
    }
    families = {model: model.removesuffix("-10") for model in ("m1", *STARTS)}
    tables = collect(runs, folders, families, EVALUATION) | pretrain_summary.collect(pretrainings, corpora)
    tables["paired"] = compare(runs)
    done = [run for run, _ in runs]
    planned = [Run("field", "m1", fold, seed) for seed in range(n_planned) for fold in (1, 2)] + done[4:]
    tables["planned"] = planned_runs(planned, done)
    tables["published"] = published({"esc": [PUBLISHED]})
    summary = root / "summary"
    tables["disagreements"] = pd.concat(_errors(summary, runs))[COLUMNS]
    for name, table in tables.items():
        write_table(table, summary / f"{name}.csv")
    return Project(load(_configuration()), summary, _figures(root, summary, drawn))


def _errors(summary: Path, runs: Sequence[tuple[Run, Path]]) -> list[pd.DataFrame]:
    """Pick the errors of each model; clips are tones, but those of `esc` have lost their recordings."""
    tables = []
    for dataset, model in dict.fromkeys((run.dataset, run.model) for run, _ in runs):
        folders = [folder for run, folder in runs if (run.dataset, run.model) == (dataset, model)]
        manifest = _manifest(folders, summary / f"manifests/{dataset}--{model}.csv")
        out = summary / f"errors/{dataset}/{model}"
        sound = _tone if dataset == "field" else _silence
        subject = {"dataset": dataset, "model": model}
        files = (out.with_suffix(".csv"), out.with_suffix(".npz"))
        pick_errors(folders, subject, "any", manifest, fake_frames, 0.01, sound, *files)
        tables.append(read_table(files[0]))
    return tables


def _manifest(folders: Sequence[Path], path: Path) -> Path:
    names = sorted({name for folder in folders for name in read_predictions(folder / "predictions.csv").clip_ids})
    table = pd.DataFrame({"clip_id": names, "root": "data", "path": [f"夜/{name}.wav" for name in names]})
    table = table.assign(start_s=range(0, 6 * len(names), 6), duration_s=2.8, recording=table["clip_id"], site="S1")
    table = table.assign(recorded_at="", segment="", fold="", sample_rate=16000, channels=1, sha256="")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(table, path)
    return path


def _tone(clip: object) -> Sound:
    return Sound(_encoded(), "")


@cache
def _encoded() -> bytes:
    return mp3(np.sin(np.arange(2 * 16000) * 0.2 * np.linspace(1, 2, 2 * 16000)).astype(np.float32), 16000)


def _silence(clip: Any) -> Sound:
    return Sound(b"", f"no audio: file not found: {clip.root}: {clip.path}")


def _figures(root: Path, summary: Path, drawn: Collection[str]) -> list[PageFigure]:
    empty = root / "figure.svg"
    empty.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="600" height="120"/>')
    subjects = {
        "model": {"dataset": "field", "model": "m1"},
        "dataset": {"dataset": "field"},
        "labels": {"dataset": "esc"},
        "pretraining": {"ssl": "tiny"},
    }
    figures = [PageFigure(key, subjects[kind.scope], empty) for key, kind in FIGURES.items() if key not in drawn]
    (root / "figures").mkdir()
    for key in drawn:
        figure = PageFigure(key, subjects[FIGURES[key].scope], root / f"figures/{key}.svg")
        draw(key, summary, figure.subject, None, figure.path)
        figures.append(figure)
    return figures


def _configuration() -> Mapping[str, Any]:
    def pretraining(**settings: object) -> dict[str, Any]:
        return {"frontend": "f", "corpus": "mixed", "net": NET, "train": {"epochs": 1, "batch_size": 2}, **settings}

    field = {"scheme": "kfold", "n_folds": 2, "group": "site"}
    esc = {"scheme": "holdout", "train": 0.7, "val": 0.1, "test": 0.2}
    source = {"format": "synth"}
    parts = [{"dataset": "esc", "weight": 4.0}, {"dataset": "field", "weight": 0.25}]
    models = {"m1": {}, **STARTS}
    return {
        "datasets": {
            "field": {"source": source, "task": "multi-label", "classes": FIELD, "split": field},
            "esc": {"source": source, "task": "single-label", "classes": ESC, "split": esc, "published": [PUBLISHED]},
        },
        "frontends": {"f": {}},
        "corpora": {"mixed": {"parts": parts}, "everything": {"parts": parts, "transductive": True}},
        "pretraining": {
            "tiny": pretraining(),
            "all": pretraining(corpus="everything", pretext={"objective": "generative"}),
            "chained": pretraining(init={"ssl": "all", "seed": 0}),
            "stage1": pretraining(net={"arch": "sslam", "size": "tiny"}),
            "stage2": pretraining(
                net={"arch": "sslam", "size": "tiny"}, init={"ssl": "stage1", "seed": 0}, pretext={"stage": 2}
            ),
        },
        "models": {name: model_settings(**settings) for name, settings in models.items()},
        "experiments": [{"dataset": "field", "model": "m1"}, *({"dataset": "esc", "model": name} for name in STARTS)],
        "evaluation": {"bootstrap": {"draws": 30}},
    }
