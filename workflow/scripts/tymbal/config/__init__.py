"""The experiment's settings: every key typed, unknown keys refused, all problems told at once.

Read when the Snakefile is parsed, here and again in every cluster job, so nothing heavy is imported.
The same frozen models travel to the scripts as `params` and are what library functions take as options.
The string under a key tells what it does: `make docs` puts it into `config/README.md`.
"""

from collections.abc import Mapping
from difflib import get_close_matches
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
    """name of a data set"""
    model: Name
    """name of a model"""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """one training for each; a seed drives initial weights, order and augmentation, not the split"""
    folds: Literal["all"] | Annotated[tuple[Positive, ...], Field(min_length=1)] = "all"
    """`all`, or a list such as `[1, 2]`"""


class Choose(Settings):
    """How a threshold is chosen for each class on validation clips."""

    by: Literal["f1", "precision"] = "f1"
    """how each class's own threshold is chosen on validation clips: `f1`, the highest F1; `precision`, the lowest
    threshold with the wanted precision"""
    precision: Share = 0.9
    """the wanted precision. Where no threshold reaches it, the highest precision is taken and `thresholds.json` says
    `reached: false`"""
    shrink: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10
    """how strongly a threshold is drawn towards that of all classes together: the number of positive clips at which
    both count the same; 0: each class for itself"""


class Bootstrap(Settings):
    """How intervals are drawn."""

    draws: Positive = 1000
    """how many samples intervals (95 %) are made from"""
    group: BootstrapGroup = "recording"
    """what is drawn, with all its clips: `recording`, or `site-day` where recordings of a day sound alike (every
    clip of validation and test then needs site and date, which `validate` checks)"""


class Evaluation(Settings):
    """What counts as positive, thresholds, calibration, intervals, and what results are told apart by."""

    target_rule: TargetRule = "any"
    """when a soft label counts as positive: `any` (above 0), `main` (1.0), `main-ignore-sub` (1.0 is positive, 0
    negative, in between left out)"""
    threshold: Share = 0.5
    """the fixed score at which precision, recall and F1 of test clips are told (those of validation clips, epoch by
    epoch, are at 0.5)"""
    choose: Choose = Choose()
    calibration: Literal["temperature", "platt"] = "temperature"
    """how scores become probabilities, one fit a model on validation clips: `temperature` divides the logits by a
    number; `platt` (models with loss `bce`) multiplies and moves them"""
    bootstrap: Bootstrap = Bootstrap()
    slices: tuple[str, ...] = ("polyphony", "site", "hour", "season", "signal_level", "known_site")
    """what results are told apart by: `polyphony` (1, 2, 3, 4+ classes in a clip), `site`, `hour`, `season`,
    `signal_level`, `known_site` (whether clips that the model was trained on are of the site), and any column of
    the manifest (an error if no planned data set can have it, a warning of `validate` if one does not); what a
    data set does not tell or what has more than 100 levels is left out, and the log says so. Unless given: the
    six named"""


class Config(Settings):
    """Everything `config/config.yaml` and the files merged over it may hold."""

    data_root: str = "resources"
    """folder that `table` and `audio` are relative to; absolute or relative to the working directory"""
    roots: dict[RootName, str] = Field(default_factory=dict)
    """further folders: name → where it is on this machine. `NAME:path` in any setting of a path is a path in it"""
    mirror: str | None = None
    """folder or address from where `snakemake download` takes files by their names, instead of their own addresses"""
    path_map: dict[str, DataPath] = Field(default_factory=dict)
    """how paths written on another machine begin → where that is here, as `path` (under `data_root`) or `NAME:path`;
    see [paths](../docs/data.md#paths)"""
    allow_cpu: bool = False
    """`true`: a job that asked for a GPU and sees none computes on the CPU, for tests of a cluster without GPUs;
    `false`: it stops with a message"""
    stage: str | None = None
    """folder on the own disk of the machine where a job runs, such as `$TMPDIR` (variables are those of that
    machine): training copies the features it reads there first, checked by checksum, and removes them at the end
    (where the machine dies, `tymbal-*` stays there). Worth it where many jobs read one slow network file system.
    `null`: features are read where they are"""
    datasets: dict[Name, Dataset]
    """named data sets, [below](#datasetsname)"""
    frontends: dict[Name, Frontend]
    """named log-mel front ends, [below](#frontendsname)"""
    corpora: dict[Name, Corpus] = Field(default_factory=dict)
    """named corpora to pre-train on, [below](#corporaname)"""
    pretraining: dict[Name, Pretraining] = Field(default_factory=dict)
    """named pre-trainings, [below](#pretrainingname); one runs exactly when a planned model asks for it"""
    models: dict[Name, Model]
    """named model variants, [below](#modelsname)"""
    experiments: Annotated[tuple[Experiment, ...], Field(min_length=1)]
    """what to run, [below](#experiments): only data sets and models named there are touched"""
    evaluation: Evaluation = Evaluation()
    """what counts as positive; thresholds, calibration, intervals and slices, [below](#evaluation)"""
    partial: bool = False
    """`true`: tables, figures and report are of the planned runs that have results, as they are, and say how many of
    all these are; no data, features, trainings or scores are made, but a missing audit of the split. Which runs
    are left out, and why, is told at the start. With none it stops. While another Snakemake is training in the
    same folder, add `--nolock`"""
    recordings: str | None = None
    """what a trained model is put to work on: a folder, a list (`.txt`, one path a line) or a table (`.csv`, column
    `file` or `path`); goes with `model`"""
    model: str | None = None
    """the folder of a run, `results/DATASET/MODEL/foldK/seedS`, or a copy of its `model.safetensors`, `model.json`,
    `thresholds.json` and `calibration.json`; goes with `recordings`"""
    predict: Predict = Predict()
    """how, [below](#predict); changes nothing of trainings and their reports"""

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


def _meant(key: str) -> str:
    """The key that this one may be a slip of, in words; empty if none is like it."""
    kinds = [Settings]
    for kind in kinds:  # grows
        kinds += kind.__subclasses__()
    names = sorted({name for kind in kinds for name in kind.model_fields})
    like = get_close_matches(key, names, n=1, cutoff=0.8)
    return f"; is {like[0]!r} meant?" if like and key not in names else ""


def _problem(details: Any) -> str:
    # After a key of which there are kinds, pydantic puts the chosen kind into the path; users did not write it.
    path = ["", *details["loc"]]
    key = ".".join(str(part) for before, part in pairwise(path) if before not in _CHOOSING) or "(top level)"
    if details["type"] == "extra_forbidden":
        return f"{key}: unknown key{_meant(str(details['loc'][-1]))}"
    if details["type"] == "missing":
        return f"{key}: missing"
    if details["type"] == "value_error" and isinstance(details["input"], Mapping):
        return f"{key}: {details['ctx']['error']}"  # which tells what of the block was found
    return f"{key}: found {details['input']!r}; {details['msg']}"
