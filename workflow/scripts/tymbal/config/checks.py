"""What holds between settings, which no single type can say."""

from collections.abc import Iterator
from string import Template

from tymbal.config import Config, Experiment
from tymbal.config.data import SLICES, MixtureSource, TagSource
from tymbal.config.models import (
    PRETRAINED,
    CosineSchedule,
    EncoderSettings,
    Finetuning,
    Init,
    Model,
    Released,
    Ssl,
    Sslam,
)
from tymbal.config.pretrain import FEWEST_COLUMNS, FEWEST_PATCHES, PatchPretext, PretextTraining, Pretraining
from tymbal.config.released import RELEASED
from tymbal.roots import DATA, SYNTH, split_root

PARTS = ("train", "val", "test")


def cross_checks(config: Config) -> list[str]:
    """All problems, each with its key, the value found and what was expected."""
    return [
        *_paths(config),
        *_mixtures(config),
        *_corpora(config),
        *(problem for name in config.pretraining for problem in _pretraining(config, name)),
        *(problem for name in config.models for problem in _model(config, name)),
        *_experiments(config),
        *_slices(config),
        *_prediction(config),
    ]


def _paths(config: Config) -> Iterator[str]:
    """Every root that is named must be there, `stage` be no place in the checkout, and classes with a band classes."""
    for name in sorted({DATA, SYNTH} & set(config.roots)):
        yield f"roots.{name}: is taken; name it otherwise"
    for prefix, path in config.path_map.items():
        if (root := split_root(path)[0]) not in config.folders:
            yield f"path_map.{prefix}: no root {root!r}; known: {sorted(config.folders)}"
    if config.stage is not None and not (config.stage.startswith(("/", "$")) and Template(config.stage).is_valid()):
        yield (
            f"stage: found {config.stage!r}; expected an absolute path or one that begins with a variable, "
            "such as $TMPDIR or ${SCRATCH}/tymbal"
        )
    for name, dataset in config.datasets.items():
        for path in (*dataset.data_paths, *(archive.into for archive in dataset.download)):
            if split_root(path)[0] not in config.folders:
                yield f"datasets.{name}: {path!r} names no known root; known: {sorted(config.folders)}"
        if isinstance(dataset.classes, tuple):
            for label in sorted(set(dataset.class_hz) - set(dataset.classes)):
                yield f"datasets.{name}.class_hz: {label!r} is not one of `classes`"


def _mixtures(config: Config) -> Iterator[str]:
    """What is mixed must be another data set's clips of one class each, in parts; so no mixture is mixed again."""
    for name, dataset in config.datasets.items():
        source, where = dataset.source, f"datasets.{name}.source"
        if not isinstance(source, MixtureSource):
            continue
        if dataset.task != "multi-label":
            yield f"datasets.{name}.task: found {dataset.task!r}; mixtures have several classes: multi-label"
        clips = config.datasets.get(source.dataset)
        if clips is None:
            yield f"{where}.dataset: no data set {source.dataset!r}; known: {sorted(config.datasets)}"
            continue
        if clips.task != "single-label" or clips.split is None or isinstance(clips.source, MixtureSource):
            yield f"{where}.dataset: {source.dataset!r} cannot be mixed; expected a data set of task single-label"
            continue
        if clips.features is not None:
            yield f"{where}.dataset: {source.dataset!r} has features; only audio can be mixed"
        if source.fold > clips.split.n_folds:
            yield f"{where}.fold: {source.fold} does not exist; {source.dataset} has folds 1 to {clips.split.n_folds}"
        if isinstance(dataset.classes, tuple) and isinstance(clips.classes, tuple):
            if unknown := sorted(set(dataset.classes) - set(clips.classes)):
                yield f"datasets.{name}.classes: {unknown} are no classes of {source.dataset!r}"
            if lacking := sorted(set(clips.classes) - set(dataset.classes)):
                yield f"datasets.{name}.classes: lacks {lacking} of {source.dataset!r}, which would be heard unlabelled"
            if len(source.shares) > len(clips.classes):
                yield (
                    f"{where}.shares: {len(source.shares)} sources, each of another class, cannot be had of the "
                    f"{len(clips.classes)} classes of {source.dataset!r}"
                )
        elif dataset.classes != clips.classes:
            yield (
                f"datasets.{name}.classes: found {dataset.classes!r}; expected those of {source.dataset!r}: "
                f"{clips.classes!r}"
            )


def _corpora(config: Config) -> Iterator[str]:
    for name, corpus in config.corpora.items():
        if "-without-" in name:
            yield f"corpora.{name}: '-without-' is kept for corpora without the test part of a fold; name it otherwise"
        for dataset in corpus.datasets:
            if dataset not in config.datasets:
                yield f"corpora.{name}.parts: no data set {dataset!r}; known: {sorted(config.datasets)}"
        for dataset in sorted({each for each in corpus.datasets if corpus.datasets.count(each) > 1}):
            yield f"corpora.{name}.parts: data set {dataset!r} is named twice; give it one weight"


def _pretraining(config: Config, name: str) -> Iterator[str]:
    settings, where = config.pretraining[name], f"pretraining.{name}"
    yield from _network(config, where, settings)
    yield from _start(config, where, settings)
    yield from _lowest_rate(f"{where}.train", settings.train)
    corpus = config.corpora.get(settings.corpus)
    if corpus is None:
        yield f"{where}.corpus: no corpus {settings.corpus!r}; known: {sorted(config.corpora)}"
    for dataset in corpus.datasets if corpus else ():
        yield from _imported_features(config, where, dataset, settings.frontend)
    frontend, (rows, columns) = config.frontends.get(settings.frontend), settings.net.patch
    if frontend and rows <= frontend.n_mels and columns <= settings.net.n_frames:
        yield from _masking(where, settings, frontend.n_mels // rows, settings.net.n_frames // columns)
    if _cycle(config, name):
        yield f"{where}.init: leads back to {name!r}; a pre-training cannot start from itself"


def _masking(where: str, settings: Pretraining, f_dim: int, t_dim: int) -> Iterator[str]:
    """Whether as many patches of an input of full length can be hidden, and whether there is room to mix two clips."""
    pretext, n = settings.pretext, f_dim * t_dim
    if n < FEWEST_PATCHES:
        yield (
            f"{where}.net.patch: an input has {n} patches of {settings.net.patch}; expected {FEWEST_PATCHES} or more, "
            "to hide some and see others; make net.patch smaller"
        )
    elif isinstance(pretext, PatchPretext):
        masking = pretext.masking
        most = n - (2 if masking.sampling == "original" else 1)  # the released code never masks the first
        if (masking.n_masked or 0) > most:
            yield (
                f"{where}.pretext.masking.n_masked: found {masking.n_masked}, but of the {n} patches of an input at "
                f"most {most} can be masked"
            )
    elif pretext.stage == 2 and t_dim < FEWEST_COLUMNS:
        yield (
            f"{where}.net.patch: an input has {t_dim} columns of patches; stage 2 leaves two regions unmixed and needs "
            f"{FEWEST_COLUMNS} or more; make net.patch narrower, or net.n_frames larger"
        )


def _cycle(config: Config, name: str) -> bool:
    seen, current = {name}, config.pretraining.get(name)
    while current is not None and isinstance(current.init, Ssl):
        if current.init.ssl in seen:
            return current.init.ssl == name
        seen.add(current.init.ssl)
        current = config.pretraining.get(current.init.ssl)
    return False


def _model(config: Config, name: str) -> Iterator[str]:
    settings, where = config.models[name], f"models.{name}"
    yield from _network(config, where, settings)
    yield from _start(config, where, settings)
    if settings.keep_head and not (isinstance(settings.init, str) and settings.init.endswith(".safetensors")):
        yield (
            f"{where}.keep_head: init is {_told(settings.init)}, which has no head to keep; expected the "
            "model.safetensors of a fine-tuned model"
        )
    frontend = config.frontends.get(settings.frontend)
    for axis, size in (("freq_mask", frontend.n_mels if frontend else None), ("time_mask", settings.net.n_frames)):
        width = getattr(settings.train.augment, axis)
        if size is not None and width > size:
            yield f"{where}.train.augment.{axis}: {width} is wider than the spectrogram ({size})"
    yield from _recipe(f"{where}.train", settings.train)
    optimizer = settings.train.optimizer
    if optimizer.layer_decay != 1 and (not settings.net.layered or settings.train.freeze_encoder):
        no_layers = f"a network of arch {settings.net.arch!r} has no layers to tell apart"
        why = "the encoder is frozen" if settings.train.freeze_encoder else no_layers
        yield f"{where}.train.optimizer.layer_decay: without use, as {why}"
    if settings.train.patchout and (not settings.net.may_drop or settings.train.freeze_encoder):
        no_patches = f"a network of arch {settings.net.arch!r} has no patches to leave out"
        why = "the encoder is frozen" if settings.train.freeze_encoder else no_patches
        yield f"{where}.train.patchout: without use, as {why}; leave it out"
    if settings.padding == "ignored" and not settings.net.may_drop:
        yield f"{where}.padding: found 'ignored', but a network of arch {settings.net.arch!r} hears all of its input"
    if settings.padding == "ignored" and settings.train.augment.roll:
        yield f"{where}.train.augment.roll: would shift sound into padding, which is ignored; use clip_roll"
    # The value tells whether it was given: records, which are checked too, name every key.
    given = isinstance(settings.net, Sslam) and settings.net.drop_path != Sslam.model_fields["drop_path"].default
    if given and settings.train.freeze_encoder:
        yield f"{where}.net.drop_path: without use, as the encoder is frozen; leave it out"


def _recipe(where: str, train: Finetuning) -> Iterator[str]:
    """What a recipe, partly perhaps of a preset, cannot hold together."""
    augment = train.augment
    yield from _lowest_rate(where, train)
    if augment.mixup and augment.batch_mixup:
        yield f"{where}.augment.mixup: clips are mixed by batch_mixup already; set one of them to 0 or null"
    if augment.mask_fill != "padding" and not (augment.freq_mask or augment.time_mask):
        yield f"{where}.augment.mask_fill: without use, as nothing is masked; set it to padding"
    if train.label_smoothing and train.loss != "ce":
        yield f"{where}.label_smoothing: without use, as the loss is {train.loss!r}; set it to 0"


def _lowest_rate(where: str, train: Finetuning | PretextTraining) -> Iterator[str]:
    schedule, lr = train.schedule, train.optimizer.lr
    if isinstance(schedule, CosineSchedule) and schedule.min_lr >= lr:
        yield f"{where}.schedule.min_lr: {schedule.min_lr:g} is not below optimizer.lr ({lr:g})"


def _network(config: Config, where: str, settings: Model | Pretraining) -> Iterator[str]:
    frontend, net = config.frontends.get(settings.frontend), settings.net
    if frontend is None:
        yield f"{where}.frontend: no front end {settings.frontend!r}; known: {sorted(config.frontends)}"
    if frontend and frontend.n_mels < net.least_mels:
        yield (
            f"{where}.net: a network of arch {net.arch!r} needs {net.least_mels} mel bins or more, but the front end "
            f"has {frontend.n_mels}"
        )
    if not isinstance(net, EncoderSettings):
        return
    if frontend and net.patch[0] > frontend.n_mels:
        yield f"{where}.net.patch: {net.patch[0]} mel bins high, but the front end has {frontend.n_mels}"
    if net.patch[1] > net.n_frames:
        yield f"{where}.net.patch: {net.patch[1]} frames, but n_frames is {net.n_frames}"


def _start(config: Config, where: str, settings: Model | Pretraining) -> Iterator[str]:
    """Starting weights must exist and fit; those of a file are checked when it is read."""
    init: Init = settings.init
    if isinstance(init, str) and init != "scratch" and init in config.pretraining:
        yield f"{where}.init: text is a file's path; to start from the pre-training {init!r}, write {{ssl: {init}}}"
        return
    if not isinstance(settings.net, PRETRAINED) and init != "scratch":
        yield f"{where}.init: found {_told(init)}; a network of arch {settings.net.arch!r} starts from scratch"
        return
    if not isinstance(settings.net, EncoderSettings):
        if isinstance(settings, Model) and settings.train.freeze_encoder:
            why = f"a network of arch {settings.net.arch!r} starts from scratch, so nothing is worth freezing"
            yield f"{where}.train.freeze_encoder: {why}"
        return
    if isinstance(init, Released):
        yield from _released(where, init.released, settings)
    if not isinstance(init, Ssl):
        return
    source = config.pretraining.get(init.ssl)
    if source is None:
        yield f"{where}.init.ssl: no pre-training {init.ssl!r}; known: {sorted(config.pretraining)}"
        return
    # Sizes of different networks have nothing in common but their names.
    for key in ("size", "patch") if source.net.arch == settings.net.arch else ("arch",):
        found, needed = getattr(source.net, key), getattr(settings.net, key)
        if found != needed:
            yield f"{where}.init: net.{key} is {found!r} in pretraining.{init.ssl}, but {needed!r} here"
    here, there = config.frontends.get(settings.frontend), config.frontends.get(source.frontend)
    for key in ("sample_rate", "n_mels") if here and there else ():
        if getattr(here, key) != getattr(there, key):
            yield (
                f"{where}.init: front end {source.frontend!r} of pretraining.{init.ssl} has {key} "
                f"{getattr(there, key)}, {settings.frontend!r} has {getattr(here, key)}"
            )


def _released(where: str, name: str, settings: Model | Pretraining) -> Iterator[str]:
    """Whether a network is of the kind that was released."""
    release, net = RELEASED[name], settings.net
    for key in ("size", "patch") if release.arch == net.arch else ("arch",):
        found, needed = getattr(release, key), getattr(net, key)
        if found != needed:
            yield f"{where}.init: net.{key} is {found!r} in the released {name}, but {needed!r} here"


def _told(init: Init) -> str:
    if isinstance(init, Released):
        return f"{{released: {init.released}}}"
    return repr(init) if isinstance(init, str) else f"{{ssl: {init.ssl}}}"


def _imported_features(config: Config, where: str, dataset: str, frontend: str) -> Iterator[str]:
    features = config.datasets[dataset].features if dataset in config.datasets else None
    for key in ("sample_rate", "n_mels") if features and frontend in config.frontends else ():
        declared, needed = getattr(features, key), getattr(config.frontends[frontend], key)
        if declared != needed:
            yield (
                f"{where}: the features of {dataset!r} have {key} {declared}, but the front end {frontend!r} has "
                f"{needed}"
            )


def _experiments(config: Config) -> Iterator[str]:
    seen = set()
    for i, experiment in enumerate(config.experiments):
        where = f"experiments.{i}"
        if experiment.model not in config.models:
            yield f"{where}.model: no model {experiment.model!r}; known: {sorted(config.models)}"
        if experiment.dataset not in config.datasets:
            yield f"{where}.dataset: no data set {experiment.dataset!r}; known: {sorted(config.datasets)}"
            continue
        split = config.datasets[experiment.dataset].split
        if split is None:
            yield f"{where}.dataset: {experiment.dataset!r} has no labels (source.format list) to learn from"
            continue
        folds = range(1, split.n_folds + 1)
        if experiment.folds != "all" and (wrong := sorted(set(experiment.folds) - set(folds))):
            yield f"{where}.folds: {wrong} do not exist; {experiment.dataset} has folds 1 to {len(folds)}"
        yield from _experiment(config, where, experiment)
        for seed in experiment.seeds:
            for fold in folds if experiment.folds == "all" else experiment.folds:
                run = f"{experiment.dataset} x {experiment.model} x fold {fold} x seed {seed}"
                if run in seen:
                    yield f"{where}: {run} is planned twice"
                seen.add(run)


def _experiment(config: Config, where: str, experiment: Experiment) -> Iterator[str]:
    """Whether a model can learn from a data set."""
    dataset, source = config.datasets[experiment.dataset], config.datasets[experiment.dataset].source
    if isinstance(source, MixtureSource) and (lacking := [part for part in PARTS if part not in source.parts]):
        yield f"{where}.dataset: source.parts of {experiment.dataset!r} lacks {' and '.join(lacking)}"
    rule = config.evaluation.target_rule
    if rule != "any" and isinstance(source, TagSource) and not source.sub_weight < source.main_weight == 1:
        yield (
            f"{where}: target rule {rule!r} takes weight 1 as a main tag, but {experiment.dataset!r} has "
            f"main_weight {source.main_weight:g} and sub_weight {source.sub_weight:g}; use 1 and less than 1"
        )
    model = config.models.get(experiment.model)
    if model is None:
        return
    yield from _imported_features(config, f"{where}, model {experiment.model!r}", experiment.dataset, model.frontend)
    if model.train.loss != "bce" and config.evaluation.calibration == "platt":
        yield (
            f"{where}: model {experiment.model!r} has loss {model.train.loss!r}, but evaluation.calibration 'platt' is "
            "of models with loss 'bce'; use temperature"
        )
    if dataset.task != "multi-label":
        return
    if model.train.loss == "ce":
        yield (
            f"{where}: model {experiment.model!r} has loss 'ce', which needs exactly one class a clip, but "
            f"{experiment.dataset!r} is multi-label with soft labels; use loss 'bce'"
        )
    if model.train.select_by == "accuracy":
        yield (
            f"{where}: model {experiment.model!r} selects by accuracy, which is undefined for the multi-label "
            f"data set {experiment.dataset!r}; use mAP"
        )


def _slices(config: Config) -> Iterator[str]:
    names = config.evaluation.slices
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield f"evaluation.slices: {name!r} is named twice"
    planned = sorted({each.dataset for each in config.experiments} & set(config.datasets))
    datasets = [config.datasets[name] for name in planned]
    for name in dict.fromkeys(names):
        if not any(dataset.may_tell(name) for dataset in datasets):
            columns = sorted({column for dataset in datasets for column in dataset.extra_columns})
            yield (
                f"evaluation.slices: {name!r} is no column of a planned data set ({', '.join(planned)}); expected "
                f"{', '.join((*SLICES, 'site', *columns))} or a further column, which `source.columns` or a group of "
                "`name_patterns` must name"
            )


def _prediction(config: Config) -> Iterator[str]:
    if (config.recordings is None) != (config.model is None):
        given, lacking = ("recordings", "model") if config.model is None else ("model", "recordings")
        yield (
            f"{lacking}: missing, but {given!r} is {getattr(config, given)!r}; prediction needs both: "
            "--config recordings=FOLDER model=results/DATASET/MODEL/fold1/seed0"
        )
