"""Where a model's numbers come from: what ran, on what, for how long, with which settings."""

import pandas as pd
import yaml

from tymbal.config import Config
from tymbal.config.models import Ssl
from tymbal.report.numbers import DASH, duration, thousands

TOLD = 4  # different values of one fact; the others are counted


def provenance(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Facts of a model's runs, each with its value, or values where the runs differ.

    Args:
        runs: the model's rows of the summary table.
    """
    dirty = runs["dirty"] == 1
    commits = runs["commit"].where(~dirty, runs["commit"] + " with uncommitted changes")
    return [
        ("Tymbal", _values(runs["tymbal"])),
        ("Commit", _values(commits)),
        ("Code digest of the training", _values(runs["code"])),
        ("Python", _values(runs["python"])),
        ("PyTorch", _values(runs["torch"])),
        ("Image", _values(runs["container"], "none: run outside a container")),
        ("Machine", _values(runs["machine"])),
        ("Device", _values(runs["device"] + ", " + runs["precision"])),
        ("Slurm jobs", _values(runs["slurm_job"], "none")),
        ("Trained", f"{_minute(runs['started'].min())} to {_minute(runs['ended'].max())} UTC"),
        ("Time", f"{duration(runs['minutes'].sum())} of training and validation, all runs together"),
        ("Peak memory", f"{thousands(runs['peak_memory_mb'].max())} MB"),
        ("Parameters", thousands(runs["parameters"].iloc[0])),
        ("Energy", _energy(runs)),
    ]


def settings(config: Config, dataset: str, model: str) -> str:
    """The part of the configuration behind one model on one data set, every default filled in, as YAML."""
    variant = config.models[model]
    chain, init = [], variant.init
    while isinstance(init, Ssl):
        chain.append(init.ssl)
        init = config.pretraining[init.ssl].init
    chosen = {
        "datasets": {dataset},
        "frontends": {variant.frontend, *(config.pretraining[name].frontend for name in chain)},
        "corpora": {config.pretraining[name].corpus for name in chain},
        "pretraining": set(chain),
        "models": {model},
    }
    whole = config.model_dump(mode="json")
    parts = {
        block: {name: value for name, value in whole[block].items() if name in names} for block, names in chosen.items()
    }
    told = {block: value for block, value in parts.items() if value} | {"evaluation": whole["evaluation"]}
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True)


def _values(values: pd.Series, unknown: str = DASH) -> str:
    different = [value or unknown for value in values.fillna("").astype(str).unique()]
    more = f" and {len(different) - TOLD} more" if len(different) > TOLD else ""
    return ", ".join(different[:TOLD]) + more


def _energy(runs: pd.DataFrame) -> str:
    sums = {"GPUs": runs["gpu_kwh"].sum(skipna=False), "processors": runs["cpu_kwh"].sum(skipna=False)}
    told = [f"{what} {'not measured' if pd.isna(kwh) else f'{kwh:.3g} kWh'}" for what, kwh in sums.items()]
    whole = "of training and validation, all runs together, with what others did on the same devices"
    return "not measured" if all(map(pd.isna, sums.values())) else f"{', '.join(told)}, {whole}"


def _minute(time: str) -> str:
    """`2026-11-20T08:00:00+00:00` to the minute."""
    return time[:16].replace("T", " ")
