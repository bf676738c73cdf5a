"""Fine-tune a classifier on the training clips of one fold; the validation clips choose the epoch."""

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tymbal.config import TargetRule
from tymbal.config.models import EncoderSettings, Model
from tymbal.devices import peak_memory_mb
from tymbal.energy import known
from tymbal.errors import InputError
from tymbal.evaluate.metrics import FIXED, evaluate, headline
from tymbal.evaluate.targets import RANKING, ranked
from tymbal.files import fingerprint, sha256, write_json
from tymbal.folds import clip_ids, read_folds
from tymbal.inference import mean_loss, predict, scores
from tymbal.ingest.manifest import class_names, labels, read_manifest
from tymbal.models.build import build
from tymbal.models.card import ModelCard
from tymbal.models.classifier import Classifier
from tymbal.models.encoder import Encoder
from tymbal.models.heads import keep_head
from tymbal.models.sources import load_start
from tymbal.models.weights import save_weights
from tymbal.norm import NormStats, Scale
from tymbal.provenance import environment, now
from tymbal.runs import Run
from tymbal.seeds import derive
from tymbal.store import FeatureStore
from tymbal.tables import write_csv
from tymbal.train.augment import augment
from tymbal.train.data import Batch, ClipSet, check_lengths, epoch_order, of_like_length
from tymbal.train.distributed import rank, world
from tymbal.train.loop import Objective, fit
from tymbal.train.optim import build_optimizer, learning_rate, min_rate, rate_line
from tymbal.train.precision import autocast_dtype
from tymbal.train.resume import Checkpoints

log = logging.getLogger(__name__)

THRESHOLD = 0.5  # of precision and recall in the history; evaluation has its own, whose change must not retrain


@dataclass(frozen=True)
class Inputs:
    """Files a training reads; `init` is a checkpoint, or None to start from scratch."""

    manifest: Path
    folds: Path
    store: Path  # folder
    norm: Path
    init: Path | None


@dataclass(frozen=True)
class Outputs:
    """Files a training writes, and the undeclared folder it resumes from."""

    model: Path  # safetensors
    card: Path  # JSON
    history: Path  # CSV
    run: Path  # JSON
    checkpoints: Path


def finetune(
    inputs: Inputs,
    outputs: Outputs,
    run: Run,
    settings: Model,
    target_rule: TargetRule,
    single_label: bool,
    code: str,
    device: torch.device,
    deadline: float | None = None,
) -> None:
    """Train one model on one fold with one seed.

    Args:
        inputs: what to read.
        outputs: what to write.
        run: data set, model, fold and seed.
        settings: of the model variant.
        target_rule: which soft labels count as positive in the validation metrics.
        single_label: exactly one class a clip; accuracy is then defined.
        code: digest of the code that trains, part of the checkpoints' fingerprint.
        device: where to train.
        deadline: on `time.monotonic()`; the training saves and stops before it. None: no limit.

    Raises:
        OutOfTime: the training is saved, but not finished.
        InputError: data and settings do not fit together, the starting weights do not fit the model, the
            selecting metric is undefined on the validation clips, or training diverged.
    """
    started = now()
    manifest = read_manifest(inputs.manifest)
    classes = class_names(manifest)
    store = FeatureStore(inputs.store)
    norm = NormStats.read(inputs.norm).replaced(run.model, settings.norm)
    scale = Scale.of(norm.mean, norm.std, settings.padding)
    folds = read_folds(inputs.folds)
    ids = {part: clip_ids(folds, run.fold, part) for part in ("train", "val")}
    if (norm.split, norm.state) != (fingerprint(ids["train"]), store.state.fingerprint):
        raise InputError(
            f"{inputs.norm} was fitted on other clips than the training part of fold {run.fold} in {inputs.folds}, or "
            f"on other features than those in {inputs.store}. Delete it; fit_norm_stats makes it again."
        )
    n_train_part = len(ids["train"])
    ids["train"] = clip_ids(folds, run.fold, "train", settings.train.label_percent)
    train, val = (_clips(manifest, run.fold, part, ids[part], store, settings, scale, device) for part in ids)
    if settings.train.select_by in RANKING and not ranked(val.labels, target_rule).any():
        raise InputError(
            f"train.select_by is {settings.train.select_by!r}, which cannot choose by the validation clips of fold "
            f"{run.fold}: no class has both positive and negative clips there. Give validation a larger share, or "
            "select by loss."
        )
    check_lengths(store, ids["train"] + ids["val"], settings.net.n_frames, settings.long_clips)

    generator = torch.Generator().manual_seed(derive(run.seed, "init"))
    model = build(settings.net, store.state.n_mels, len(classes), generator)
    start = None
    if inputs.init is not None:
        assert isinstance(model, Encoder) and isinstance(settings.net, EncoderSettings), "others start from scratch"
        start = load_start(inputs.init, model, settings.net, store.state)
        if settings.keep_head:
            start = keep_head(start, model, settings, classes)
        log.info("starting weights: %s", dataclasses.asdict(start))
    if settings.train.freeze_encoder:
        model.freeze_encoder()
    model.patchout = settings.train.patchout
    model.to(device)
    counts = model.parameter_counts()
    log.info("%s", counts["note"])
    dtype = autocast_dtype(settings.train.precision, device)
    log.info("training on %s in %s", device, dtype or torch.float32)
    log.info("clips: %d of the training part's %d, validation: %d", _size(train), n_train_part, _size(val))
    log.info("applied: %s", settings.train.model_dump(mode="json"))
    output_dtype = _output_dtype(model, val, dtype)
    log.info("applied precision: outputs are %s", output_dtype)

    description = {
        "run": run._asdict(),
        "model": settings.model_dump(mode="json"),
        "target_rule": target_rule,
        "train": content(manifest, train),
        "val": content(manifest, val),
        "classes": classes,
        "norm": dataclasses.asdict(norm),
        "init": None if start is None else start.sha256,
        "code": code,
    }
    rates, schedule = settings.train.optimizer, settings.train.schedule
    optimizer = build_optimizer(model, rates, min_rate(schedule))
    checkpoints = Checkpoints(outputs.checkpoints, fingerprint(description))
    objective = _objective(model, train, val, classes, settings, target_rule, single_label, run.seed, dtype)
    steps_per_epoch = -(-objective.n_batches // settings.train.accumulate)

    def rate(step: int, history: list[dict[str, Any]]) -> float:
        return learning_rate(rates.lr, schedule, step, steps_per_epoch, settings.train.epochs)

    patience = settings.train.early_stopping
    state = fit(
        model, objective, optimizer, rate, settings.train, patience, checkpoints, device, dtype, deadline=deadline
    )
    if rank() > 0:
        return

    heard: dict[str, Any] = {
        "transductive": False,
        "labelled": True,
        "held_out": [[run.dataset, run.fold]],
        "parts": [{"dataset": run.dataset}],
    }
    if start is not None:
        heard["before"] = start.corpus  # so that all the weights have heard goes on being told
    card = ModelCard(
        net=settings.net.model_dump(mode="json"),
        n_mels=store.state.n_mels,
        classes=tuple(classes),
        mean=norm.mean,
        std=norm.std,
        padding=settings.padding,
        frontend=store.state.to_json(),
        loss=settings.train.loss,
        long_clips=settings.long_clips,
        corpus=heard,
        provenance={**run._asdict(), "code": code, "fingerprint": checkpoints.fingerprint},
    )
    save_weights(outputs.model, outputs.card, model, card)
    history = pd.DataFrame(state.history).rename(columns={"round": "epoch"}).drop(columns="step")
    slope, offset = rate_line(rates.head_lr, rates.lr, min_rate(schedule))
    history.insert(2, "head_lr", slope * history["lr"] + offset)
    history["best"] = (history["epoch"] == state.best_round).astype(int)
    write_csv(history, outputs.history)
    write_json(
        outputs.run,
        {
            **description,
            "best_epoch": state.best_round,
            "epochs": state.round,
            "n_train": _size(train),
            "n_train_part": n_train_part,
            "n_val": _size(val),
            "parameters": counts,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "processes": world(),
            "precision": str(dtype or torch.float32).removeprefix("torch."),
            "output_dtype": output_dtype,
            "peak_memory_mb": round(peak_memory_mb(device), 1),
            "minutes": round(state.seconds / 60, 3),
            "energy": known(state.kwh),
            "init": "scratch" if start is None else dataclasses.asdict(start),
            "started": started,
            "ended": now(),
            "model_sha256": sha256(outputs.model),
            "environment": environment(),
        },
    )
    checkpoints.remove()


def _clips(
    manifest: pd.DataFrame,
    fold: int,
    part: str,
    ids: list[str],
    store: FeatureStore,
    settings: Model,
    scale: Scale,
    device: torch.device,
) -> ClipSet:
    if not ids:
        of_it = f"{settings.train.label_percent} % of " if part == "train" else ""
        raise InputError(f"fold {fold} has no clips in {of_it}part {part!r}; check the data set's split settings")
    weights = labels(manifest.set_index("clip_id").loc[ids])
    if settings.train.loss == "ce" and (soft := ((weights == 1).sum(axis=1) != 1) | (weights.sum(axis=1) != 1)).any():
        raise InputError(
            f"loss 'ce' needs exactly one class of weight 1 a clip; {int(soft.sum())} of the {len(ids)} clips in part "
            f"{part!r} have others, such as {ids[int(soft.argmax())]}. Use loss 'bce'."
        )
    return ClipSet(store, tuple(ids), weights, settings.net.n_frames, scale, device)


def _objective(
    model: Classifier,
    train: ClipSet,
    val: ClipSet,
    classes: list[str],
    settings: Model,
    target_rule: TargetRule,
    single_label: bool,
    seed: int,
    dtype: torch.dtype | None,
) -> Objective:
    options = settings.train

    def batches(epoch: int) -> Iterator[Batch]:
        torch.manual_seed(derive(seed, "dropout", epoch) + rank())  # dropout and patchout draw from nowhere else
        windows = epoch_order(train, options.sampling, seed, epoch, options.epoch_clips)
        if train.scale.ignored:
            shuffler = np.random.default_rng(derive(seed, "batches", epoch))
            windows = of_like_length(train, windows, options.batch_size, shuffler)
        rng = np.random.default_rng(derive(seed, "augment", epoch))
        for batch in train.batches(windows, options.batch_size, whole=options.augment.mixes):
            yield augment(batch, options.augment, train.scale, rng)

    def loss(batch: Batch) -> dict[str, Tensor]:
        logits, y = model(batch.x, train.heard(batch)).float(), batch.y[batch.share.rows]
        mean = mean_loss(logits, y, options.loss, options.label_smoothing)
        return {"loss": mean * batch.share.weight}

    def validate() -> dict[str, Any]:
        logits = predict(model, val, options.batch_size, dtype)
        rows = evaluate(
            scores(logits, options.loss), val.labels, classes, target_rule, {FIXED: THRESHOLD}, single_label
        )
        value = mean_loss(torch.from_numpy(logits), torch.from_numpy(val.labels), options.loss).item()
        columns = {f"val_{name}": figure for name, figure in headline(rows).items()}
        columns |= {"val_loss": value, "threshold": THRESHOLD}
        return columns

    n_batches = -(-(options.epoch_clips or len(train.clip_ids)) // options.batch_size)
    return Objective(
        round_name="epoch",
        batches=batches,
        rounds=options.epochs,
        n_batches=n_batches,
        n_batches_last=n_batches,
        loss=loss,
        validate=validate,
        select=f"val_{options.select_by}",
        larger_is_better=options.select_by != "loss",
    )


def _output_dtype(model: Classifier, clips: ClipSet, dtype: torch.dtype | None) -> str:
    """What the model really computes in: asked of an output, because autocast is easily off without a sign."""
    with torch.inference_mode(), torch.autocast(clips.device.type, dtype=dtype, enabled=dtype is not None):
        return str(model(next(clips.in_order(1)).x).dtype).removeprefix("torch.")


def _size(clips: ClipSet) -> int:
    return len(clips.clip_ids)


def content(manifest: pd.DataFrame, clips: ClipSet) -> str:
    """Fingerprint of the clips' audio and labels, in the order used; `run.json` holds it as `train` and `val`."""
    rows = manifest.set_index("clip_id").loc[list(clips.clip_ids), ["sha256", "start_s", "duration_s"]]
    return fingerprint([rows.to_numpy().tolist(), clips.labels.tolist()])
