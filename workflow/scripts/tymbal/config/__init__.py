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
from tymbal.config.data import DataPath, Dataset, Split, TagSource
from tymbal.errors import InputError
from tymbal.roots import DATA, SYNTH, split_root

TargetRule = Literal["any", "main", "main-ignore-sub"]
RootName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]+$")]


class Frontend(Settings):
    """Log-mel filterbank. Frames of 25 ms every 10 ms, Hanning window, 20 Hz to Nyquist (field standard)."""

    backend: Literal["tymbal", "torchaudio"] = "tymbal"
    sample_rate: Positive = 16000  # Hz
    n_mels: Positive = 128


# --- models -----------------------------------------------------------------------------------------------


class Ssast(Settings):
    """Audio Spectrogram Transformer as in SSAST (Gong et al., AAAI 2022)."""

    arch: Literal["ssast"]
    size: Literal["tiny", "small", "base", "base-nokd"] = "tiny"  # base-nokd: one class token
    patch: tuple[Positive, Positive] = (16, 16)  # mel bins, frames
    stride: tuple[Positive, Positive] = (16, 16)  # mel bins, frames
    n_frames: Positive = 1024  # shorter clips are padded
    pooling: Literal["mean", "cls"] = "mean"


class Augment(Settings):
    """Training-time changes to the batch; everything off by default. Values as in SSAST's recipes."""

    freq_mask: Annotated[int, Field(ge=0)] = 0  # mel bins, upper bound of one mask
    time_mask: Annotated[int, Field(ge=0)] = 0  # frames, upper bound of one mask
    mixup: Annotated[float, Field(ge=0, le=1)] = 0.0  # probability a clip is mixed with another
    noise: bool = False
    roll: Annotated[int, Field(ge=0)] = 0  # frames, largest circular shift


class Optimizer(Settings):
    """Adam adds weight decay to the gradient (as SSAST), AdamW decouples it."""

    name: Literal["adam", "adamw"] = "adam"
    lr: Annotated[float, Field(gt=0)]
    head_lr: Annotated[float, Field(gt=0)] = 1.0  # multiplier for the classification head
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # rate of a layer relative to the one above
    weight_decay: Annotated[float, Field(ge=0)] = 5e-7
    betas: tuple[Share, Share] = (0.95, 0.999)


class StepSchedule(Settings):
    """Full rate up to epoch `start`, then times `gamma`, and again every `every` epochs."""

    name: Literal["step"]
    start: Positive
    every: Positive
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.5
    warmup_steps: Annotated[int, Field(ge=0)] = 0


class CosineSchedule(Settings):
    """Linear warm-up, then half a cosine down to zero at the last step."""

    name: Literal["cosine"]
    warmup_steps: Annotated[int, Field(ge=0)] = 0


Schedule = Annotated[StepSchedule | CosineSchedule, Field(discriminator="name")]


class Training(Settings):
    """How a model is fitted and which epoch is kept."""

    loss: Literal["bce", "ce"]
    epochs: Positive
    batch_size: Positive
    label_percent: Literal[1, 5, 10, 25, 50, 100] = 100  # of the training part, by groups: for learning curves
    accumulate: Positive = 1  # batches whose gradients are added before one optimiser step
    optimizer: Optimizer
    schedule: Schedule
    augment: Augment = Augment()
    sampling: Literal["none", "balanced"] = "none"
    select_by: Literal["mAP", "AUC", "accuracy", "loss"] = "mAP"
    early_stopping: Positive | None = None  # epochs without a better validation metric
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"


class Model(Settings):
    """A named variant: front end, network, starting weights, training."""

    frontend: Name
    net: Ssast
    init: str = "scratch"  # or the path of an SSAST .pth
    padding: Literal["mean", "original"] = "mean"
    # Clips that would lose more than a tenth of their frames are an error, or are cut at the end.
    long_clips: Literal["error", "cut"] = "error"
    train: Training


class Experiment(Settings):
    """One model on one data set, over its folds and some seeds."""

    dataset: Name
    model: Name
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    folds: Literal["all"] | Annotated[tuple[Positive, ...], Field(min_length=1)] = "all"


class Evaluation(Settings):
    """What counts as positive, and the threshold at which precision and recall are told."""

    target_rule: TargetRule = "any"
    threshold: Share = 0.5


class Config(Settings):
    """Everything `config/config.yaml` and the files merged over it may hold."""

    data_root: str = "resources"
    roots: dict[RootName, str] = Field(default_factory=dict)  # further folders: name -> where it is on this machine
    path_map: dict[str, DataPath] = Field(
        default_factory=dict
    )  # beginning of paths written on another machine -> ROOT:path
    datasets: dict[Name, Dataset]
    frontends: dict[Name, Frontend]
    models: dict[Name, Model]
    experiments: Annotated[tuple[Experiment, ...], Field(min_length=1)]
    evaluation: Evaluation = Evaluation()

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
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors()]
        raise InputError.listing("configuration", problems, _REMEDY) from None
    if problems := _cross_checks(config):
        raise InputError.listing("configuration", problems, _REMEDY)
    return config


_CHOOSING = ("source", "split", "schedule")  # blocks of which there are kinds
_REMEDY = "correct the file given with --configfile (or config/config.yaml); config/README.md explains every key"


def read_split(raw: Mapping[str, Any]) -> Split:
    """A data set's split settings from plain builtins."""
    return TypeAdapter(Split).validate_python(dict(raw))


def _problem(details: Any) -> str:
    # After a block of which there are kinds, pydantic puts the chosen kind into the path; users did not write it.
    path = ["", *details["loc"]]
    key = ".".join(str(part) for before, part in pairwise(path) if before not in _CHOOSING) or "(top level)"
    if details["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if details["type"] == "missing":
        return f"{key}: missing"
    return f"{key}: found {details['input']!r}; {details['msg']}"


def _cross_checks(config: Config) -> list[str]:
    """What holds between keys, which no single type can say."""
    problems = _path_checks(config)
    for name, model in config.models.items():
        where = f"models.{name}"
        frontend = config.frontends.get(model.frontend)
        if frontend is None:
            problems.append(f"{where}.frontend: no front end {model.frontend!r}; known: {sorted(config.frontends)}")
        elif model.net.patch[0] > frontend.n_mels:
            patch = model.net.patch[0]
            problems.append(f"{where}.net.patch: {patch} mel bins high, but the front end has {frontend.n_mels}")
        if model.net.patch[1] > model.net.n_frames:
            problems.append(f"{where}.net.patch: {model.net.patch[1]} frames, but n_frames is {model.net.n_frames}")
        for axis, size in (("freq_mask", frontend.n_mels if frontend else None), ("time_mask", model.net.n_frames)):
            width = getattr(model.train.augment, axis)
            if size is not None and width > size:
                problems.append(f"{where}.train.augment.{axis}: {width} is wider than the spectrogram ({size})")
    seen = set()
    for i, experiment in enumerate(config.experiments):
        where = f"experiments.{i}"
        if experiment.model not in config.models:
            problems.append(f"{where}.model: no model {experiment.model!r}; known: {sorted(config.models)}")
        if experiment.dataset not in config.datasets:
            problems.append(f"{where}.dataset: no data set {experiment.dataset!r}; known: {sorted(config.datasets)}")
            continue
        dataset = config.datasets[experiment.dataset]
        if dataset.split is None:
            problems.append(f"{where}.dataset: {experiment.dataset!r} has no labels (source.format list) to learn from")
            continue
        folds = range(1, dataset.split.n_folds + 1)
        if experiment.folds != "all" and (wrong := sorted(set(experiment.folds) - set(folds))):
            problems.append(f"{where}.folds: {wrong} do not exist; {experiment.dataset} has folds 1 to {len(folds)}")
        if experiment.model in config.models:
            train = config.models[experiment.model].train
            frontend = config.frontends.get(config.models[experiment.model].frontend)
            for key in ("sample_rate", "n_mels") if dataset.features and frontend else ():
                declared, needed = getattr(dataset.features, key), getattr(frontend, key)
                if declared != needed:
                    problems.append(
                        f"{where}: the features of {experiment.dataset!r} have {key} {declared}, but model "
                        f"{experiment.model!r} has a front end with {needed}"
                    )
            if train.loss == "ce" and dataset.task == "multi-label":
                problems.append(
                    f"{where}: model {experiment.model!r} has loss 'ce', which needs exactly one class a clip, but "
                    f"{experiment.dataset!r} is multi-label with soft labels; use loss 'bce'"
                )
            if train.select_by == "accuracy" and dataset.task == "multi-label":
                problems.append(
                    f"{where}: model {experiment.model!r} selects by accuracy, which is undefined for the multi-label "
                    f"data set {experiment.dataset!r}; use mAP"
                )
        source, rule = dataset.source, config.evaluation.target_rule
        if rule != "any" and isinstance(source, TagSource) and not source.sub_weight < source.main_weight == 1:
            problems.append(
                f"{where}: target rule {rule!r} takes weight 1 as a main tag, but {experiment.dataset!r} has "
                f"main_weight {source.main_weight:g} and sub_weight {source.sub_weight:g}; use 1 and less than 1"
            )
        for seed in experiment.seeds:
            for fold in folds if experiment.folds == "all" else experiment.folds:
                run = f"{experiment.dataset} x {experiment.model} x fold {fold} x seed {seed}"
                if run in seen:
                    problems.append(f"{where}: {run} is planned twice")
                seen.add(run)
    return problems


def _path_checks(config: Config) -> list[str]:
    """Every root that is named must be there, and classes with a band be classes."""
    problems = [f"roots.{name}: is taken; name it otherwise" for name in sorted({DATA, SYNTH} & set(config.roots))]
    problems += [
        f"path_map.{prefix}: no root {root!r}; known: {sorted(config.folders)}"
        for prefix, path in config.path_map.items()
        if (root := split_root(path)[0]) not in config.folders
    ]
    for name, dataset in config.datasets.items():
        problems += [
            f"datasets.{name}: {path!r} names no known root; known: {sorted(config.folders)}"
            for path in dataset.data_paths
            if split_root(path)[0] not in config.folders
        ]
        if isinstance(dataset.classes, tuple):
            strangers = sorted(set(dataset.class_hz) - set(dataset.classes))
            problems += [f"datasets.{name}.class_hz: {label!r} is not one of `classes`" for label in strangers]
    return problems
