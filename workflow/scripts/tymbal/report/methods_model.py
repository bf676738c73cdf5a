"""How a model was made, in sentences for a paper: network, training, and the epoch that was kept."""

from collections.abc import Iterator

import pandas as pd

from tymbal.config.models import (
    Augment,
    Cnn,
    CosineSchedule,
    Model,
    Net,
    Optimizer,
    PlateauSchedule,
    Ssast,
    Sslam,
    StepSchedule,
)
from tymbal.report.citations import Citations
from tymbal.report.numbers import span
from tymbal.report.words import count, listed, number
from tymbal.spectrogram import FRAME_SHIFT_MS

LOSSES = {"bce": "binary cross-entropy", "ce": "cross-entropy"}
SELECTED = {
    "mAP": "the highest mean average precision",
    "AUC": "the highest mean area under the ROC curve",
    "accuracy": "the highest accuracy",
    "loss": "the lowest loss",
}
POOLING = {"mean": "their mean", "cls": "its class token", "linear-softmax": "their linear softmax"}


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
    padded = {
        "mean": "padded with this mean",
        "original": "padded with zeros before they were scaled",
        "ignored": "heard as they were, without padding",
    }[settings.padding]
    cut = "cut at their end" if settings.long_clips == "cut" else "cut at their end by at most a tenth"
    if clip_frames is None:
        fitted = f"shorter clips were {padded}, longer ones {cut}"
    elif clip_frames == n_frames:
        fitted = "whole clips"
    else:
        fitted = f"clips, of {_seconds(clip_frames)}, were {padded if clip_frames < n_frames else cut}"
    yield f"It took {_seconds(n_frames)} at a time: {fitted}."


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
            _decayed(settings.net, train.optimizer.layer_decay, train.schedule)
            if train.optimizer.layer_decay != 1
            else "",
        ]
    )
    smoothed = f" with labels smoothed by {number(train.label_smoothing)}" if train.label_smoothing else ""
    yield (
        f"{what} trained by {LOSSES[train.loss]}{smoothed} for {'at most ' if train.early_stopping else ''}"
        f"{count(train.epochs, 'epoch')} in batches of {train.batch_size * train.accumulate} clips, with "
        f"{optimiser(train.optimizer, citations)}{rates}, {schedule(train.schedule)}{clipped(train.clip_norm)}."
    )
    if train.label_percent < 100:
        yield (
            f"Of the training clips {train.label_percent} % were used ({span(runs['n_train'])}), taken in whole groups."
        )
    if train.epoch_clips:
        yield f"Each epoch took {train.epoch_clips:,} of the training clips, drawn anew."
    if isinstance(settings.net, Sslam) and settings.net.drop_path and not train.freeze_encoder:
        yield (
            f"Branches of its blocks were left out at random, at rates rising from 0 in the first to "
            f"{number(settings.net.drop_path)} in the last (stochastic depth, {citations.cite('stochastic depth')})."
        )
    if train.patchout:
        yield (
            f"In training, a clip went without {number(round(100 * train.patchout, 1))} % of its patches, drawn anew "
            f"each time (patchout, {citations.cite('patchout')})."
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
    match net:
        case Ssast():
            every = f"every {net.stride[0]} bins and {net.stride[1]} frames"
            stride = "without overlap" if net.patch == net.stride else every
            name = f"a self-supervised audio spectrogram transformer (SSAST, {citations.cite('SSAST')})"
        case Sslam():
            stride = "without overlap"
            name = f"the transformer of EAT and SSLAM ({citations.cite('EAT', 'SSLAM')})"
        case Cnn():
            return f"a convolutional network ({citations.cite('SB-CNN')})"
        case _:
            return f"a network of kind {net.arch}"
    bins, frames = net.patch
    return (
        f"{name} of size {net.size} that reads patches of {bins} mel bins by {frames} frames {stride} and classifies "
        f"by {POOLING[net.pooling]}"
    )


def optimiser(settings: Optimizer, citations: Citations) -> str:
    """The optimiser and its rate."""
    name = {"adam": "Adam", "adamw": "AdamW"}[settings.name]
    betas = listed(map(number, settings.betas))
    return (
        f"{name} ({citations.cite(name)}; betas {betas}, weight decay {number(settings.weight_decay)}) at a learning "
        f"rate of {number(settings.lr)}"
    )


def schedule(settings: StepSchedule | CosineSchedule | PlateauSchedule) -> str:
    """How the rate changes over a training."""
    over = settings.warmup_steps
    steps = count(over, "step") if isinstance(over, int) else f"{number(round(100 * over, 1))} % of the steps"
    warm = f"linear warm-up over {steps} and then " if over else ""
    match settings:
        case CosineSchedule():
            form = f"half a cosine down to {number(settings.min_lr) if settings.min_lr else 'zero'}"
        case StepSchedule():
            again = "every epoch" if settings.every == 1 else f"every {settings.every} epochs"
            form = f"times {number(settings.gamma)} after epoch {settings.start} and again {again}"
        case PlateauSchedule():
            form = f"halved when more than {count(settings.patience, 'check')} in a row brought nothing better"
    return warm + form


def _decayed(net: Net, decay: float, settings: StepSchedule | CosineSchedule) -> str:
    lowest = settings.min_lr if isinstance(settings, CosineSchedule) else 0
    constant = f" (constant where below {number(lowest)})" if lowest else ""
    if isinstance(net, Sslam):
        return (
            f", {number(decay)} times this rate in the encoder's last block, {number(decay)} times that in the block "
            f"below and so on{constant}, this rate in its patch embedding, class token and first norm"
        )
    return f", {number(decay)} times the rate of the layer above in each layer of the encoder{constant}"


def clipped(norm: float | None) -> str:
    """To which norm gradients were clipped, if they were."""
    return "" if norm is None else f"; gradients were clipped at a norm of {number(norm)}"


def _augmented(settings: Augment, citations: Citations) -> Iterator[str]:
    if settings.clip_roll:
        yield "circular shifts by any part of the clip"
    if settings.gain:
        yield "gains between 0.5 and 1.5"
    if settings.freq_mask or settings.time_mask:
        sizes = {"mel bin": settings.freq_mask, "frame": settings.time_mask}
        masks = listed(
            f"{number(100 * size)} % of the {what}s" if size < 1 else count(size, what)
            for what, size in sizes.items()
            if size
        )
        by = ", filled with the mean" if settings.mask_fill == "mean" else ""
        yield f"SpecAugment ({citations.cite('SpecAugment')}; masks of at most {masks}{by})"
    if settings.mixup:
        yield f"mixup ({citations.cite('mixup')}; {settings.mixup:.0%} of the clips)".replace("%", " %")
    if settings.batch_mixup:
        share, alpha = f"{settings.batch_mixup.probability:.0%}".replace("%", " %"), number(settings.batch_mixup.alpha)
        yield (
            f"mixup ({citations.cite('mixup')}; {share} of the batches, each with itself in reverse, by one weight "
            f"from Beta({alpha}, {alpha}))"
        )
    if settings.noise:
        yield "noise"
    if settings.roll:
        yield f"circular shifts of at most {count(settings.roll, 'frame')}"


def _seconds(n_frames: int) -> str:
    return f"{count(n_frames, 'frame')} ({n_frames * FRAME_SHIFT_MS / 1000:.2f} s)"
