"""How a model was made, in sentences for a paper: network, starting weights, training, and the epoch that was kept."""

from collections.abc import Iterator

import pandas as pd

from tymbal.config import Config
from tymbal.config.models import (
    Augment,
    CosineSchedule,
    Model,
    Net,
    Optimizer,
    PlateauSchedule,
    Ssast,
    Ssl,
    StepSchedule,
)
from tymbal.fbank import FRAME_SHIFT_MS
from tymbal.report.citations import Citations
from tymbal.report.numbers import span
from tymbal.report.pretrainings import OBJECTIVES
from tymbal.report.words import count, listed, number
from tymbal.runs import HeldOut, PretrainRun, start_before

LOSSES = {"bce": "binary cross-entropy", "ce": "cross-entropy"}
SELECTED = {
    "mAP": "the highest mean average precision",
    "AUC": "the highest mean area under the ROC curve",
    "accuracy": "the highest accuracy",
    "loss": "the lowest loss",
}


def network(settings: Model, clip_frames: int | None, runs: pd.DataFrame, citations: Citations) -> Iterator[str]:
    """The network and the length of its input.

    Args:
        settings: of the model.
        clip_frames: length of every clip, or None where lengths may differ.
        runs: its rows of the summary table.
        citations: to which works that are named are added.
    """
    yield f"The classifier, {_architecture(settings.net, citations)}, had {runs['parameters'].iloc[0]:,.0f} parameters."
    n_frames = settings.net.n_frames
    padded = {"mean": "padded with this mean", "original": "padded with zeros before they were scaled"}[
        settings.padding
    ]
    cut = "cut at their end" if settings.long_clips == "cut" else "cut at their end by at most a tenth"
    if clip_frames is None:
        fitted = f"shorter clips were {padded}, longer ones {cut}"
    elif clip_frames == n_frames:
        fitted = "whole clips"
    else:
        fitted = f"clips, of {_seconds(clip_frames)}, were {padded if clip_frames < n_frames else cut}"
    yield f"It took {_seconds(n_frames)} at a time: {fitted}."


def start(
    config: Config,
    settings: Model,
    runs: pd.DataFrame,
    pretraining: pd.DataFrame,
    corpora: pd.DataFrame,
    citations: Citations,
) -> Iterator[str]:
    """The starting weights, how they were made as far as this workflow made them, and what they had heard.

    Args:
        config: all settings.
        settings: of the model.
        runs: its rows of the summary table.
        pretraining: summary table.
        corpora: likewise.
        citations: to which works that are named are added.
    """
    if settings.init == "scratch":
        yield "Its weights were first drawn at random."
        return
    if isinstance(settings.init, Ssl):
        tests = [HeldOut(dataset, fold) for dataset, fold in zip(runs["dataset"], runs["fold"], strict=True)]
        yield from _pretrained(config, settings.init, tests, pretraining, corpora, citations)
    else:
        yield f"Its encoder started from the weights in {settings.init.split('/')[-1]}."
    heard = runs["test_clips"]
    if (heard == "transductive").any():
        yield "Test clips, without their labels, were among those that the starting weights were made from."
    elif (heard == "unknown").any():
        yield "It is not known whether the starting weights were made from test clips, too."
    else:
        yield "No test clip was among those that the starting weights were made from."


def training(settings: Model, runs: pd.DataFrame, citations: Citations) -> Iterator[str]:
    """Loss, optimiser, augmentation, and the choice of the epoch.

    Args:
        settings: of the model.
        runs: its rows of the summary table.
        citations: to which works that are named are added.
    """
    train = settings.train
    what = "Only its classification head was" if train.freeze_encoder else "The classifier was"
    rates = "".join(
        [
            f", {number(train.optimizer.head_lr)} times this rate in the classification head"
            if train.optimizer.head_lr != 1
            else "",
            f", {number(train.optimizer.layer_decay)} times the rate of the layer above in each layer of the encoder"
            if train.optimizer.layer_decay != 1
            else "",
        ]
    )
    yield (
        f"{what} trained by {LOSSES[train.loss]} for {'at most ' if train.early_stopping else ''}"
        f"{count(train.epochs, 'epoch')} in batches of {train.batch_size * train.accumulate} clips, with "
        f"{_optimiser(train.optimizer, citations)}{rates}, {_schedule(train.schedule)}{_clipped(train.clip_norm)}."
    )
    if train.label_percent < 100:
        yield (
            f"Of the training clips {train.label_percent} % were used ({span(runs['n_train'])}), taken in whole groups."
        )
    if train.sampling == "balanced":
        yield "Training clips of rare classes were drawn more often."
    if changes := list(_augmented(train.augment, citations)):
        yield f"Training clips were changed at random by {listed(changes)}."
    stopped = (
        f", and training ended after {count(train.early_stopping, 'epoch')} without a better one"
        if train.early_stopping
        else ""
    )
    yield (
        f"The epoch with {SELECTED[train.select_by]} on the validation clips was kept (number "
        f"{span(runs['best_epoch'])} of {span(runs['epochs'])}){stopped}."
    )


def _architecture(net: Net, citations: Citations) -> str:
    if not isinstance(net, Ssast):
        return f"a convolutional network ({citations.cite('SB-CNN')})"
    stride = "without overlap" if net.patch == net.stride else f"every {net.stride[0]} bins and {net.stride[1]} frames"
    pooling = {"mean": "their mean", "cls": "its class token"}[net.pooling]
    return (
        f"a self-supervised audio spectrogram transformer (SSAST, {citations.cite('SSAST')}) of size {net.size} that "
        f"reads patches of {net.patch[0]} mel bins by {net.patch[1]} frames {stride} and classifies by {pooling}"
    )


def _pretrained(
    config: Config,
    init: Ssl,
    tests: list[HeldOut],
    pretraining: pd.DataFrame,
    corpora: pd.DataFrame,
    citations: Citations,
) -> Iterator[str]:
    """A pre-training, after those that it started from."""
    settings = config.pretraining[init.ssl]
    if isinstance(settings.init, Ssl):
        yield from _pretrained(config, settings.init, tests, pretraining, corpora, citations)
        origin = f"went on from {settings.init.ssl}"
    elif settings.init == "scratch":
        origin = "began with random weights"
    else:
        origin = f"began with the weights in {settings.init.split('/')[-1]}"
    planned = {start_before(config, init, test) for test in tests}
    keys = zip(pretraining["corpus"], pretraining["ssl"], pretraining["seed"], strict=True)
    mine = pretraining[[PretrainRun(*key) in planned for key in keys]]
    parts = corpora[corpora["corpus"].isin(mine["corpus"])]
    heard = [
        f"{span(rows['n_train'])} clips of {name}"
        + (f" (each taken {number(rows['weight'].iloc[0])} times an epoch)" if rows["weight"].iloc[0] != 1 else "")
        for name, rows in parts.groupby("dataset", sort=False)
    ]
    hours = parts.groupby("corpus")["hours"].sum()
    several = f", {len(mine)} times, each without the test clips of a fold" if len(mine) > 1 else ""
    masked, patches = int(mine["n_masked"].iloc[0]), int(mine["n_patches"].iloc[0])
    yield (
        f"The pre-training {init.ssl} {origin} and learnt to {OBJECTIVES[settings.pretext.objective]} "
        f"({citations.cite('SSAST')}), {masked} of {patches} patches being masked, from {listed(heard)}, without "
        f"labels ({span(hours, '{:,.2f}')} h with the recordings held out to check it{several})."
    )
    train = settings.train
    yield (
        f"It took {span(mine['steps'])} steps of {train.batch_size * train.accumulate} clips, with "
        f"{_optimiser(train.optimizer, citations)}, {_schedule(train.schedule)}{_clipped(train.clip_norm)}."
    )


def _optimiser(settings: Optimizer, citations: Citations) -> str:
    name = {"adam": "Adam", "adamw": "AdamW"}[settings.name]
    betas = listed(map(number, settings.betas))
    return (
        f"{name} ({citations.cite(name)}; betas {betas}, weight decay {number(settings.weight_decay)}) at a learning "
        f"rate of {number(settings.lr)}"
    )


def _schedule(settings: StepSchedule | CosineSchedule | PlateauSchedule) -> str:
    warm = f"linear warm-up over {count(settings.warmup_steps, 'step')} and then " if settings.warmup_steps else ""
    match settings:
        case CosineSchedule():
            form = "half a cosine down to zero"
        case StepSchedule():
            again = "every epoch" if settings.every == 1 else f"every {settings.every} epochs"
            form = f"times {number(settings.gamma)} after epoch {settings.start} and again {again}"
        case PlateauSchedule():
            form = f"halved when more than {count(settings.patience, 'check')} in a row brought nothing better"
    return warm + form


def _clipped(norm: float | None) -> str:
    return "" if norm is None else f"; gradients were clipped at a norm of {number(norm)}"


def _augmented(settings: Augment, citations: Citations) -> Iterator[str]:
    if settings.freq_mask or settings.time_mask:
        sizes = {"mel bin": settings.freq_mask, "frame": settings.time_mask}
        masks = listed(count(size, what) for what, size in sizes.items() if size)
        yield f"SpecAugment ({citations.cite('SpecAugment')}; masks of at most {masks})"
    if settings.mixup:
        yield f"mixup ({citations.cite('mixup')}; {settings.mixup:.0%} of the clips)".replace("%", " %")
    if settings.noise:
        yield "noise"
    if settings.roll:
        yield f"circular shifts of at most {count(settings.roll, 'frame')}"


def _seconds(n_frames: int) -> str:
    return f"{count(n_frames, 'frame')} ({n_frames * FRAME_SHIFT_MS / 1000:.2f} s)"
