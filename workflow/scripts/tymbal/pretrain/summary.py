"""Long tables over all pre-trainings: what figures and the report read of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tymbal.evaluate.starts import corpora_of, start_columns
from tymbal.evaluate.tables import read_table
from tymbal.files import read_json
from tymbal.pretrain.corpus import REASONS
from tymbal.runs import PretrainRun

RUN = ["corpus", "ssl", "seed"]
CURVES = [*RUN, "check", "step", "epoch", "lr"]  # and the losses there are, as the histories have them
CURVES_END = ["clips_per_s", "seconds", "best"]
PRETRAINING = [*RUN, "transductive", "objective", "size", "n_masked", "n_patches", "init", "start"]
PRETRAINING += ["best_check", "kept_by", "checks", "steps"]  # and the losses of the check that was kept
PRETRAINING_END = ["n_train", "n_val", "n_short"]
PRETRAINING_END += ["parameters", "device", "precision", "peak_memory_mb", "minutes", "gpu_kwh", "cpu_kwh"]
EXCLUDED = {reason: f"excluded_{reason.replace(' ', '_')}" for reason in REASONS}
CORPORA = ["corpus", "transductive", "held_out", "dataset", "weight", "n_clips", "n_train", "n_val", "hours"]
CORPORA += EXCLUDED.values()


def collect(runs: Sequence[tuple[PretrainRun, Path]], corpora: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Read every pre-training's folder and the facts of every corpus, and make the summary tables.

    Args:
        runs: each pre-training and its folder, with history.csv and run.json.
        corpora: corpus -> its folder, with corpus.json.

    Returns:
        `pretraining` (one row a pre-training, with the losses of the check that was kept), `pretext_curves` (one row a
        check), `corpora` (one row a data set of a corpus): what `results/summary/<name>.csv` holds. Losses that a
        pretext task does not have are empty.
    """
    histories = [read_table(folder / "history.csv").assign(**run._asdict()) for run, folder in runs]
    records = [_record(run, folder, rows) for (run, folder), rows in zip(runs, histories, strict=True)]
    curves = pd.concat(histories) if histories else pd.DataFrame()
    train, val = ([name for name in map(str, curves) if name.startswith(side)] for side in ("train_", "val_"))
    parts = [row for corpus, folder in corpora.items() for row in _parts(corpus, read_json(folder / "corpus.json"))]
    return {
        "pretraining": pd.DataFrame(records, columns=[*PRETRAINING, *val, *PRETRAINING_END]),
        "pretext_curves": curves.reindex(columns=[*CURVES, *train, *val, *CURVES_END]),
        "corpora": pd.DataFrame(parts, columns=CORPORA),
    }


def _record(run: PretrainRun, folder: Path, history: pd.DataFrame) -> dict[str, Any]:
    """What `run.json` says of a pre-training, in one row."""
    record = read_json(folder / "run.json")
    settings = record["pretraining"]
    return {
        "kept_by": "val_loss",  # where none is told
        **record,
        **record["energy"],
        **run._asdict(),
        **history[history["best"] == 1].iloc[0].filter(like="val_"),
        **start_columns(settings["init"]),
        "transductive": int(any(corpus["transductive"] for corpus in corpora_of(record["corpus"]))),
        "objective": _objective(settings["pretext"]),
        "size": settings["net"]["size"],
        "checks": len(history),
    }


def _objective(pretext: Mapping[str, Any]) -> str:
    """What was learnt, as `report.pretrainings.OBJECTIVES` names it."""
    return f"stage{pretext['stage']}" if "stage" in pretext else pretext["objective"]


def _parts(corpus: str, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a data set; `held_out` is as `esc10:1 esc10:2`, data set and fold."""
    shared = {
        "corpus": corpus,
        "transductive": int(facts["transductive"]),
        "held_out": " ".join(f"{dataset}:{fold}" for dataset, fold in facts["held_out"]),
    }
    return [
        {**shared, **part, **{EXCLUDED[reason]: n for reason, n in part["excluded"].items()}} for part in facts["parts"]
    ]
