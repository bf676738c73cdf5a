"""The experiment's settings: every key typed, unknown keys refused, all problems told at once.

Read when the Snakefile is parsed, here and again in every cluster job, so nothing heavy is imported.
The same frozen models travel to the scripts as `params` and are what library functions take as options.
`config/README.md` explains the keys to users.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from tymbal.config.base import Name, Positive, Settings, Share
from tymbal.config.data import DataPath, Dataset, Split
from tymbal.config.models import Frontend, Model
from tymbal.config.predict import Predict
from tymbal.config.pretrain import Corpus, Pretraining
from tymbal.errors import InputError
from tymbal.roots import DATA, SYNTH

TargetRule = Literal["any", "main", "main-ignore-sub"]
BootstrapGroup = Literal["recording", "site-day"]
RootName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]+$")]


class Experiment(Settings):
    """One model on one data set, over its folds and some seeds."""

    dataset: Name
    model: Name
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    folds: Literal["all"] | Annotated[tuple[Positive, ...], Field(min_length=1)] = "all"


class Choose(Settings):
    """How a threshold is chosen for each class on validation clips."""

    by: Literal["f1", "precision"] = "f1"
    precision: Share = 0.9  # wanted, where `by` is precision
    shrink: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10  # positives at which own and global weigh the same


class Bootstrap(Settings):
    """How intervals are drawn."""

    draws: Positive = 1000
    group: BootstrapGroup = "recording"


class Evaluation(Settings):
    """What counts as positive, thresholds, calibration, intervals, and what results are told apart by."""

    target_rule: TargetRule = "any"
    threshold: Share = 0.5
    choose: Choose = Choose()
    calibration: Literal["temperature", "platt"] = "temperature"
    bootstrap: Bootstrap = Bootstrap()
    slices: tuple[str, ...] = ("polyphony", "site", "hour", "season", "signal_level", "known_site")


class Config(Settings):
    """Everything `config/config.yaml` and the files merged over it may hold."""

    data_root: str = "resources"
    roots: dict[RootName, str] = Field(default_factory=dict)  # further folders: name -> where it is on this machine
    path_map: dict[str, DataPath] = Field(
        default_factory=dict
    )  # beginning of paths written on another machine -> ROOT:path
    allow_cpu: bool = False  # compute on the CPU although the job asked for a GPU
    stage: str | None = None  # folder on a node's own disk that training copies features to first; may name variables
    datasets: dict[Name, Dataset]
    frontends: dict[Name, Frontend]
    corpora: dict[Name, Corpus] = Field(default_factory=dict)
    pretraining: dict[Name, Pretraining] = Field(default_factory=dict)
    models: dict[Name, Model]
    experiments: Annotated[tuple[Experiment, ...], Field(min_length=1)]
    evaluation: Evaluation = Evaluation()
    partial: bool = False  # tell of the runs that have results, and make no other
    recordings: str | None = None  # what to predict: a folder, a list (.txt) or a manifest (.csv)
    model: str | None = None  # folder of the run that predicts
    predict: Predict = Predict()

    @property
    def folders(self) -> dict[str, Path]:
        """Name of a root -> folder on this machine."""
        named = {name: Path(folder) for name, folder in self.roots.items()}
        return {DATA: Path(self.data_root), SYNTH: Path("resources"), **named}


def load(raw: Mapping[str, Any]) -> Config:
    """Check a configuration mapping and return it typed, defaults filled in.

    Raises:
        InputError: every problem found, each with its key, the value found and what was expected.
    """
    from tymbal.config.checks import cross_checks

    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        wrong = {details["loc"] for details in error.errors()}
        problems = [_problem(details) for details in error.errors() if not _follows(details["loc"], wrong)]
        raise InputError.listing("configuration", problems, _REMEDY) from None
    if problems := cross_checks(config):
        raise InputError.listing("configuration", problems, _REMEDY)
    return config


# What there are kinds of
_CHOOSING = ("source", "split", "schedule", "net", "pretext", "init", "warmup_steps", "freq_mask", "time_mask")
_REMEDY = "correct the file given with --configfile (or config/config.yaml); config/README.md explains every key"


def read_split(raw: Mapping[str, Any]) -> Split:
    """A data set's split settings from plain builtins."""
    return TypeAdapter(Split).validate_python(dict(raw))


def _follows(loc: tuple[int | str, ...], wrong: set[tuple[int | str, ...]]) -> bool:
    """Whether it is no problem of its own: of an unknown network the pretext task is not known either."""
    return loc[-1] == "pretext" and (*loc[:-1], "net") in wrong


def _problem(details: Any) -> str:
    # After a key of which there are kinds, pydantic puts the chosen kind into the path; users did not write it.
    path = ["", *details["loc"]]
    key = ".".join(str(part) for before, part in pairwise(path) if before not in _CHOOSING) or "(top level)"
    if details["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if details["type"] == "missing":
        return f"{key}: missing"
    if details["type"] == "value_error" and isinstance(details["input"], Mapping):
        return f"{key}: {details['ctx']['error']}"  # which tells what of the block was found
    return f"{key}: found {details['input']!r}; {details['msg']}"
