"""The settings that pages tell: those recorded with the summary tables, whatever the configuration says by now."""

import json
from pathlib import Path

import yaml

from tymbal.config import Config, load
from tymbal.config.recorded import changed
from tymbal.errors import InputError
from tymbal.evaluate.tables import read_table


def recorded_config(summary: Path) -> Config:
    """The configuration that the summary tables were made with.

    Args:
        summary: their folder, with config.yaml and runs.csv.

    Raises:
        InputError: runs that were trained with other settings.
    """
    path = summary / "config.yaml"
    config = load(yaml.safe_load(path.read_text(encoding="utf-8")))
    problems = []
    for run in read_table(summary / "runs.csv").to_dict("records"):
        name = f"{run['dataset']} x {run['model']} x fold {run['fold']} x seed {run['seed']}"
        settings = config.models.get(run["model"])
        if settings is None:
            problems.append(f"{name}: no such model")
        elif told := changed(json.loads(run["settings"]), settings):
            problems.append(f"{name}: trained with {told}")
    if problems:
        remedy = "run `snakemake` to train and score with the settings of now, or restore those and run it"
        raise InputError.listing(f"results do not fit the configuration in {path}", problems, remedy)
    return config
