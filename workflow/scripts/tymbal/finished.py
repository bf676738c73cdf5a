"""Which runs can be told of: all their files are there, of one generation, and made with the settings of now.

Read when the Snakefile is parsed, so nothing heavy is imported.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tymbal.config import Evaluation
from tymbal.config.base import Settings
from tymbal.config.models import Model
from tymbal.config.recorded import changed
from tymbal.errors import InputError
from tymbal.files import read_json, sha256
from tymbal.runs import CALIBRATION, THRESHOLDS, Run

# Of a run, all that is read of it.
FILES = ["history.csv", "run.json", THRESHOLDS, CALIBRATION, "predictions.csv", "metrics.json"]
FILES += ["draws.npz"]
SHARED = ("manifest.csv", "folds.csv")  # in the data set's folder


def digests(paths: Sequence[Path]) -> dict[str, str]:
    """File name -> SHA-256: what `metrics.json` tells of the files that results were made from."""
    return {path.name: sha256(path) for path in paths}


def with_results(
    planned: Mapping[Run, Sequence[str]], evaluation: Evaluation, trained: Mapping[Run, Mapping[str, Settings]]
) -> tuple[list[Run], dict[Run, str]]:
    """Divide the runs planned into those that can be told of and the others.

    Args:
        planned: run -> files beside its own that are read of it.
        evaluation: settings of now.
        trained: run -> folders of its training and of the pre-trainings behind it, with their settings of now.

    Returns:
        Runs with results; and why each of the others is left out.

    Raises:
        InputError: there are none.
    """
    left_out = {}
    for run, others in planned.items():
        files = [*(f"{run.folder}/{name}" for name in FILES), *others]
        if missing := [file for file in files if not Path(file).exists()]:
            more = f", nor are {len(missing) - 1} more" if len(missing) > 1 else ""
            left_out[run] = f"{run.folder}: {missing[0]} is not there{more}"
    for run, folders in trained.items():
        if run not in left_out and (told := _trained_otherwise(folders)):
            left_out[run] = told
    here = [run for run in planned if run not in left_out]
    results = {run: read_json(Path(run.folder, "metrics.json")) for run in here}
    datasets = {run.dataset: Path("results", run.dataset) for run in here}
    # What has results that do not count is told before what has none.
    left_out = outdated([(run, Path(run.folder)) for run in here], results, datasets, evaluation) | left_out
    if done := [run for run in here if run not in left_out]:
        return done, left_out
    raise InputError.listing(
        f"partial: none of the {len(planned)} runs planned has results yet",
        list(left_out.values()),
        "set `partial: false` to make them",
    )


def _trained_otherwise(folders: Mapping[str, Settings]) -> str:
    """What differs between the settings that are recorded in some folders and those of now."""
    found = []
    for folder, settings in folders.items():
        record = read_json(Path(folder, "run.json"))
        if told := changed(record["model" if isinstance(settings, Model) else "pretraining"], settings):
            found.append(f"{folder}: {told}")
    return "; ".join(found)


def check_current(
    runs: Sequence[tuple[Run, Path]],
    results: Mapping[Run, Mapping[str, Any]],
    datasets: Mapping[str, Path],
    evaluation: Evaluation,
) -> None:
    """Verify that results can be told together; arguments as in `outdated`.

    Raises:
        InputError: the runs whose results are of other files or settings.
    """
    if problems := outdated(runs, results, datasets, evaluation):
        raise InputError.listing(
            "results that cannot be told together",
            list(problems.values()),
            "delete metrics.json of each folder named (model.safetensors where manifest.csv or folds.csv changed: it "
            "was trained on other clips), and run again",
        )


def outdated(
    runs: Iterable[tuple[Run, Path]],
    results: Mapping[Run, Mapping[str, Any]],
    datasets: Mapping[str, Path],
    evaluation: Evaluation,
) -> dict[Run, str]:
    """The runs whose results were made from other files, or with another evaluation, than there are now.

    Args:
        runs: each run and its folder.
        results: what their `metrics.json` say.
        datasets: data set -> its folder.
        evaluation: settings of now; slices may differ, as each is told with the number of runs that have it.

    Returns:
        Run -> its folder and what differs.
    """
    digest = cache(sha256)
    wanted = evaluation.model_dump(mode="json", exclude={"slices"})
    found = {}
    for run, folder in runs:
        result = results[run]
        differ = []
        if "made_from" not in result:
            differ.append("metrics.json is of an earlier version")
        else:
            paths = {name: (datasets[run.dataset] if name in SHARED else folder) / name for name in result["made_from"]}
            if other := [name for name, path in paths.items() if digest(path) != result["made_from"][name]]:
                differ.append(f"scored before {', '.join(other)} changed")
            differ += [
                f"evaluation.{key} {result['evaluation'][key]}, not {value}"
                for key, value in wanted.items()
                if result["evaluation"][key] != value
            ]
        if differ:
            found[run] = f"{folder}: {'; '.join(differ)}"
    return found
