"""Folders of runs, data sets and pre-trainings as the rules leave them, with made-up figures, to test the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tymbal.config import Bootstrap, Evaluation
from tymbal.config.models import Loss, Model
from tymbal.evaluate.calibration import fit_calibration, write_calibration
from tymbal.evaluate.draws import draw
from tymbal.evaluate.measure import measure
from tymbal.evaluate.metrics import headline
from tymbal.evaluate.predictions import Predictions, write_predictions
from tymbal.evaluate.rows import MetricRow
from tymbal.evaluate.scoring import Outputs, write_results
from tymbal.evaluate.slices import Clips, slices
from tymbal.evaluate.targets import binarise
from tymbal.evaluate.thresholds import choose_thresholds, write_thresholds
from tymbal.files import write_json
from tymbal.finished import digests
from tymbal.runs import PretrainRun, Run
from tymbal.tables import write_csv

NET = {"arch": "ssast", "size": "tiny"}
LATENT = {  # losses of SSLAM's stages
    "stage1": ["global", "local"],
    "stage2": ["global_unmixed", "local_unmixed", "global_mixed", "local_mixed", "local_retention"],
}


def write_runs(
    root: Path,
    dataset: str,
    model: str,
    classes: Sequence[str],
    n_folds: int = 2,
    seeds: Sequence[int] = (0,),
    n_test: int = 40,
    n_epochs: int = 3,
    single_label: bool = False,
    absent: Sequence[str] = (),
    skill: float = 3.0,
    label_percent: int = 100,
    init: str | Mapping[str, Any] = "scratch",
    corpora: Sequence[Mapping[str, Any]] = (),
    net: Mapping[str, Any] = NET,
) -> list[tuple[Run, Path]]:
    """Write the folders of all folds and seeds; no clip has a class of `absent`.

    Models on one data set have the same test clips, of which one with more `skill` tells the labels better. `corpora`
    are the facts of what the starting weights were pre-trained on, one a fold.

    Returns:
        Each run with its folder.
    """
    runs = []
    for run in (Run(dataset, model, fold + 1, seed) for seed in seeds for fold in range(n_folds)):
        folder = root / run.folder
        folder.mkdir(parents=True)
        rng = np.random.default_rng([run.fold, run.seed, len(classes)])
        strength = np.linspace(skill, 0.27 * skill, len(classes))
        parts = []
        for part in ("val", "test"):
            labels = _labels(rng, n_test, classes, single_label, absent)
            scores = _scores(rng, labels, strength, single_label)
            parts.append(_clips(run, part, classes, labels, scores))
        rows = _write_results(folder, run, *parts, single_label)
        best = _write_history(folder / "history.csv", rng, n_epochs, headline(rows))
        loaded = {"corpus": corpora[run.fold - 1]} if corpora else "scratch" if init == "scratch" else {"corpus": None}
        record = _record(run, best, n_epochs, n_test)
        record |= {"model": model_settings(label_percent, init, net), "init": loaded}
        write_json(folder / "run.json", record)
        runs.append((run, folder))
    return runs


def model_settings(
    label_percent: int = 100,
    init: str | Mapping[str, Any] = "scratch",
    net: Mapping[str, Any] = NET,
    **_: object,
) -> Mapping[str, Any]:
    """Settings of a model, as the configuration and run.json have them."""
    train = {"loss": "bce", "epochs": 3, "batch_size": 2, "optimizer": {"lr": 1e-3}, "schedule": {"name": "cosine"}}
    raw = {"frontend": "f", "net": net, "init": init, "train": {**train, "label_percent": label_percent}}
    return Model.model_validate(raw).model_dump(mode="json")


def write_dataset(
    folder: Path,
    classes: Sequence[str],
    n_folds: int = 2,
    question: str = "same places, same nights",
    n_near: int = 0,
    n_quarantined: int = 0,
) -> Path:
    """Write what data rules leave in a data set's folder: balance, audit, near copies, ingest facts and quarantine."""
    write_csv(_balance(classes, n_folds), folder / "folds_balance.csv")
    write_csv(_audit(classes, n_folds, question, n_near), folder / "audit.csv")
    near = [(1, "test", f"s1_{i}", f"s2_{i}", 0.95, 0.99 - i / 1000) for i in range(n_near)]
    columns = ["fold", "part", "clip_id", "train_clip_id", "cosine", "correlation"]
    write_csv(pd.DataFrame(near, columns=columns), folder / "near_copies.csv")
    bad = [(f"a/鳥_{i}.wav", f"tags.csv row {i + 2}", "truncated files", "2.1 s of 6 s") for i in range(n_quarantined)]
    write_csv(pd.DataFrame(bad, columns=["file", "where", "kind", "reason"]), folder / "quarantine.csv")
    ingest = {
        "n_clips": 1900,
        "n_files": 1900,
        "hours": 3.1667,
        "recordings": 190,
        "sites": 6,
        "unlabelled": 12,
        "n_quarantined": n_quarantined,
        "share_quarantined": n_quarantined / 1900,
        "quarantined_by_kind": {"truncated files": n_quarantined} if n_quarantined else {},
        "facts": {"encoding": "cp950", "file names of pattern 1 in `name_patterns`": 1900, "files missing": 0},
        "warnings": ["tag columns that no class stands for: SubTag_<b> (3 clips)"],
    }
    write_json(folder / "ingest.json", ingest)
    return folder


def corpus_facts(fold: int, transductive: bool = False) -> dict[str, Any]:
    """What corpus.json says of the corpus for one fold of the data set `esc`."""
    without = 0 if transductive else 40 + fold
    excluded = {"test part": without, "same file": 0, "same recording": 3, "same source": 0}
    field = {"dataset": "field", "weight": 0.25, "n_clips": 30_000, "n_train": 28_500, "n_val": 1_500, "hours": 50.0}
    esc = {"dataset": "esc", "weight": 4.0, "n_clips": 200, "n_train": 187 - without, "n_val": 10, "hours": 0.3}
    return {
        "transductive": transductive,
        "held_out": [] if transductive else [["esc", fold]],
        "parts": [{**esc, "excluded": excluded}, {**field, "excluded": dict.fromkeys(excluded, 0)}],
    }


def write_pretraining(
    root: Path,
    ssl: str,
    n_folds: int,
    objective: str = "joint",
    transductive: bool = False,
    init: str | Mapping[str, Any] = "scratch",
    before: Mapping[str, Any] | None = None,
    n_short: int = 0,
) -> tuple[list[tuple[PretrainRun, Path]], dict[str, Path]]:
    """Write the folders of a pre-training, on one corpus if it is transductive, otherwise on one a fold of `esc`.

    `objective` is one of SSAST's, or `stage1` or `stage2` of SSLAM. `before` are the facts of the corpus of what it
    starts from.

    Returns:
        Each pre-training with its folder, and each corpus with its folder.
    """
    runs, corpora = [], {}
    pretext: dict[str, Any] = {"objective": objective}
    if objective in LATENT:
        pretext = {"arch": "sslam", "stage": int(objective[-1])}
    for fold in range(1, n_folds + 1):
        run = PretrainRun("everything" if transductive else f"mixed-without-esc-fold{fold}", ssl, 0)
        folder = root / run.folder
        folder.mkdir(parents=True)
        corpora[run.corpus] = folder.parents[1]
        facts = corpus_facts(fold, transductive)
        write_json(folder.parents[1] / "corpus.json", facts)
        history = _checks(np.random.default_rng(fold), objective)
        write_csv(history, folder / "history.csv")
        record = {
            "run": run._asdict(),
            "pretraining": {"init": init, "pretext": pretext, "net": {"size": "tiny"}},
            "corpus": facts if init == "scratch" else {**facts, "before": before},
            "best_check": int(history["check"][history["best"] == 1].iloc[0]),
            "kept_by": "round" if objective in LATENT else "val_loss",
            "steps": 3000,
            "n_train": sum(part["n_train"] for part in facts["parts"]),
            "n_val": sum(part["n_val"] for part in facts["parts"]),
            "n_short": n_short,
            "n_patches": 62,
            "n_masked": 48,
            "parameters": 6_112_000,
            "device": "cpu",
            "precision": "float32",
            "peak_memory_mb": 2310.5,
            "minutes": 95.0,
            "energy": {"gpu_kwh": 1.1, "cpu_kwh": None},
            "init": "scratch" if init == "scratch" else {"corpus": before},
        }
        write_json(folder / "run.json", record)
        runs.append((run, folder))
    return runs, corpora


def _checks(rng: np.random.Generator, objective: str) -> pd.DataFrame:
    check = np.arange(1, 31)
    fall = np.exp(-check / 8)
    parts = {"nce": 1.2 + 2.6 * fall, "accuracy": 0.65 - 0.6 * fall, "mse": 0.08 + 0.15 * fall}
    if objective == "discriminative":
        del parts["mse"]
    if objective in LATENT:
        parts = {name: (i + 1) * (1 + fall) for i, name in enumerate(LATENT[objective])}
        parts |= {"prediction_std": 0.8 - 0.6 * fall}
    table = pd.DataFrame({"check": check, "step": 100 * check, "epoch": check * 1.5, "lr": 1e-4 * check[::-1] / 30})
    for side, worse in (("train", 0), ("val", 0.1)):
        noisy = {name: value * (1 + worse + rng.normal(0, 0.01, 30)) for name, value in parts.items()}
        table[f"{side}_loss"] = noisy["nce"] + 10 * noisy.get("mse", 0) if "nce" in noisy else 20.0
        for name, value in noisy.items():
            table[f"{side}_{name}"] = value
    table["val_spread"], table["val_spread_patches"] = 0.4, 0.6
    table["clips_per_s"] = 150.0
    table["seconds"] = 190.0
    kept = 30 if objective in LATENT else table["val_loss"].idxmin() + 1
    return table.assign(best=(check == kept).astype(int))


def reconstructions(path: Path, n_clips: int = 4) -> Path:
    """Write clips of different lengths, hidden in blocks and filled in with their mean."""
    clips = [fake_frames(f"esc:clip-{k}")[: 200 + 20 * k] for k in range(n_clips)]
    longest = max(map(len, clips))
    fbank = np.stack([np.pad(x, ((0, longest - len(x)), (0, 0))) for x in clips])
    masked = np.kron(np.random.default_rng(0).random((n_clips, -(-longest // 16), 8)) < 0.75, np.ones((1, 16, 16)))
    masked = masked[:, :longest] > 0
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        fbank=fbank,
        masked=masked,
        filled=np.where(masked, np.float16(-8), fbank),
        n_frames=np.array([len(x) for x in clips]),
        clip_id=np.array([f"esc:clip-{k}" for k in range(n_clips)]),
        frame_shift_s=0.01,
    )
    return path


def _balance(classes: Sequence[str], n_folds: int) -> pd.DataFrame:
    rng = np.random.default_rng(len(classes))
    rows = []
    for fold in range(1, n_folds + 1):
        for name, total in [*((c, 400 // (i + 1)) for i, c in enumerate(classes)), ("(all)", 900)]:
            noise = rng.normal(0, 0.3 / np.sqrt(total), 2)
            shares = np.array([0.7, 0.1, 0.2]) + np.append(noise, -noise.sum())
            for part, share, target in zip(("train", "val", "test"), shares, (0.7, 0.1, 0.2), strict=True):
                n = round(total * share)
                rows.append((fold, part, name, n, max(n // 5, 1), float(n), share, target, share - target))
    columns = ["fold", "part", "class", "n_clips", "n_groups", "weight", "share", "target_share", "residual"]
    return pd.DataFrame(rows, columns=columns)


def _audit(classes: Sequence[str], n_folds: int, question: str, n_near: int) -> pd.DataFrame:
    dated = question != "places not known"
    no_site, no_time = ("", "") if dated else ("not known: no site and date", "not known: no site and time")
    rows = []
    for fold in range(1, n_folds + 1):
        for part in ("val", "test"):
            facts = {
                "groups_shared": (0, ""),
                "recordings_shared": (0, ""),
                "contents_shared": (0, ""),
                "near_copies": (n_near if (fold, part) == (1, "test") else 0, ""),
                "sites_seen": (1.0 if dated else None, no_site),
                "site_days_seen": (0.75 + fold / 100 if dated else None, no_site),
                "under_1h": (0.38 + fold / 100 if dated else None, no_time),
                "under_12h": (0.52 + fold / 100 if dated else None, no_time),
                "gap_h_median": (2.5 + fold if dated else None, no_time),
                "question": (None, question),
                "classes_absent": (0, ""),
                "classes_few": (1, f"{classes[-1]} (2)"),
                "class_furthest": (0.031, f"{classes[0]}: 13.1 % for 10.0 %"),
            }
            rows += [(fold, part, measure, value, note) for measure, (value, note) in facts.items()]
    return pd.DataFrame(rows, columns=["fold", "part", "measure", "value", "note"])


def fake_frames(clip_id: str) -> np.ndarray:
    """Features of a clip, [T, 128] float16: a rising tone on noise; lengths differ."""
    rng = np.random.default_rng(list(clip_id.encode()))
    n_frames = int(rng.integers(260, 300))
    pitch = rng.uniform(10, 90) + rng.uniform(-20, 20) * np.sin(np.linspace(0, rng.uniform(2, 30), n_frames))
    tone = 6 * np.exp(-(((np.arange(128) - pitch[:, None]) / 3) ** 2))
    return (rng.normal(-9, 1, (n_frames, 128)) + tone).astype(np.float16)


def _labels(
    rng: np.random.Generator, n: int, classes: Sequence[str], single_label: bool, absent: Sequence[str]
) -> np.ndarray:
    frequency = np.array([0.0 if name in absent else 1 / (i + 2) for i, name in enumerate(classes)])
    if single_label:
        present = np.flatnonzero(frequency)
        return np.eye(len(classes), dtype=np.float32)[present[np.arange(n) % len(present)]]
    labels = (rng.random((n, len(classes))) < frequency).astype(np.float32)
    labels[: len(classes)][np.diag_indices(len(classes))] = frequency > 0
    labels[(labels > 0) & (rng.random(labels.shape) < 0.3)] = 0.6
    return labels


def _scores(rng: np.random.Generator, labels: np.ndarray, skill: np.ndarray, single_label: bool) -> np.ndarray:
    logits = rng.normal(-2, 1, labels.shape) + skill * labels * 1.5
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True) if single_label else odds / (1 + odds)).astype(np.float32)


EVALUATION = Evaluation(bootstrap=Bootstrap(draws=30))


def _clips(run: Run, part: str, classes: Sequence[str], labels: np.ndarray, scores: np.ndarray) -> Predictions:
    """Two clips a recording, three sites; of the test part, recorded in two seasons and six hours."""
    first = {"val": 30, "test": 0}[part]
    recordings = np.arange(len(labels)) // 2
    names = [f"SITE{i % 6 + 1:02d}_20240515_{run.fold:02d}{(first + i) % 60:02d}00_{i}" for i in range(len(labels))]
    sites = [f"S{i % 3 + 1}" for i in recordings]
    return Predictions(names, [f"r{i}" for i in recordings], sites, list(classes), scores, labels)


def _write_results(folder: Path, run: Run, val: Predictions, test: Predictions, single_label: bool) -> list[MetricRow]:
    """Write what calibration and evaluation leave in a run's folder."""
    n_draws = EVALUATION.bootstrap.draws
    write_predictions(val, folder / "predictions_val.csv")
    targets, keep = binarise(val.labels, "any")
    drawn = draw(val.recordings, n_draws, run.dataset, run.fold, "val")
    thresholds = choose_thresholds(val.scores, targets, keep, val.classes, EVALUATION.choose, drawn)
    write_thresholds(folder / "thresholds.json", thresholds)
    loss: Loss = "ce" if single_label else "bce"
    calibration = fit_calibration("temperature", loss, val.scores, targets, keep)
    write_calibration(folder / "calibration.json", calibration)

    write_predictions(test, folder / "predictions.csv")
    recording = np.arange(len(test.clip_ids)) // 2
    times = [f"2024-{1 + 3 * (i % 2):02d}-15T{20 + i % 4:02d}:00:00" for i in recording]
    manifest = pd.DataFrame({"site": test.sites, "recorded_at": times, "start_s": 0.0})
    loudness = np.random.default_rng(run.fold).normal(-7, 1, len(test.clip_ids))
    clips = Clips(manifest, test.labels, lambda: loudness, frozenset({"S1", "S2"}))
    levels = slices(clips, EVALUATION.slices)
    rows = measure(
        test,
        calibration.apply(test.scores),
        {"fixed": EVALUATION.threshold, "chosen": np.array([each.threshold for each in thresholds.values()])},
        "any",
        single_label,
        draw(test.recordings, n_draws, run.dataset, run.fold, "test"),
        levels,
    )
    outputs = Outputs(folder / "predictions.csv", folder / "metrics.json", folder / "draws.npz")
    made_from = digests([folder / "thresholds.json", folder / "calibration.json"])
    write_results(rows, test, test.recordings, levels, run, EVALUATION, made_from, outputs)
    return rows


def _write_history(path: Path, rng: np.random.Generator, n_epochs: int, final: dict[str, float | None]) -> int:
    epoch = np.arange(1, n_epochs + 1)
    rise = 1 - np.exp(-epoch / max(n_epochs / 4, 1))
    table = pd.DataFrame({"epoch": epoch, "lr": 1e-4, "head_lr": 1e-4, "train_loss": 0.7 - 0.55 * rise})
    table["val_loss"] = 0.7 - 0.4 * rise + 0.1 * (epoch / n_epochs) ** 2 + rng.normal(0, 0.01, n_epochs)
    for name, value in final.items():
        table[f"val_{name}"] = np.nan if value is None else value * rise + rng.normal(0, 0.015, n_epochs)
    table["threshold"] = 0.5
    table["clips_per_s"] = 20.0
    table["seconds"] = 42.0
    best = int(table["val_mAP"].idxmax()) + 1
    table["best"] = (table["epoch"] == best).astype(int)
    table.to_csv(path, index=False)
    return best


def _record(run: Run, best_epoch: int, n_epochs: int, n_test: int) -> dict[str, object]:
    return {
        "run": run._asdict(),
        "best_epoch": best_epoch,
        "epochs": n_epochs,
        "n_train": 7 * n_test,
        "n_val": n_test,
        "parameters": {"total": 5524416, "original": 5717416, "note": ""},
        "device": "cpu",
        "precision": "float32",
        "peak_memory_mb": 812.4,
        "minutes": 0.7 * n_epochs,
        "energy": {"gpu_kwh": 0.05, "cpu_kwh": None},
        "started": "2026-11-20T08:00:00+00:00",
        "ended": "2026-11-20T09:00:00+00:00",
        "code": "0123456789ab",
        "environment": {
            "tymbal": "0.6.0",
            "python": "3.12.3",
            "packages": {"torch": "2.9.1"},
            "machine": "x86_64, 4 CPUs",
            "container": None,
            "slurm_job": None,
            "commit": "0" * 40,
            "dirty": False,
        },
    }
