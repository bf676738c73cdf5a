"""Pre-train an encoder on a corpus, and check it on held-out recordings; one check's weights are kept."""

import dataclasses
import logging
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tymbal.config.models import PlateauSchedule
from tymbal.config.pretrain import FEWEST_PATCHES, WITHOUT_EFFECT, Pretraining
from tymbal.devices import peak_memory_mb
from tymbal.energy import known
from tymbal.errors import InputError
from tymbal.files import fingerprint, read_json, sha256, write_json
from tymbal.models.encoder_card import EncoderCard
from tymbal.models.sources import load_start
from tymbal.models.weights import save_weights
from tymbal.norm import NormStats, Scale
from tymbal.pretrain.build import build_pretext
from tymbal.pretrain.check import MOST_CLIPS, Check, Part, evenly
from tymbal.pretrain.corpus import joined_ids, read_corpus
from tymbal.pretrain.epochs import EpochPlan
from tymbal.pretrain.masks import fewest_frames
from tymbal.pretrain.pretext import PretextModel
from tymbal.provenance import environment, now
from tymbal.runs import PretrainRun
from tymbal.seeds import derive
from tymbal.store import FeatureStore
from tymbal.tables import write_csv
from tymbal.train.data import Batch, ClipSet
from tymbal.train.distributed import rank, world
from tymbal.train.loop import Objective, fit
from tymbal.train.optim import adam, learning_rate, plateau_factor
from tymbal.train.precision import autocast_dtype
from tymbal.train.resume import Checkpoints

log = logging.getLogger(__name__)

MOST_STEPS = 1000  # between checks, unless the settings tell: what a stopped job loses at most


@dataclass(frozen=True)
class Inputs:
    """Files a pre-training reads; `init` is a checkpoint, or None to start from scratch."""

    clips: Path  # CSV: dataset, clip_id, part
    corpus: Path  # JSON: what the clips are
    stores: Mapping[str, Path]  # data set -> folder
    norm: Path
    init: Path | None


@dataclass(frozen=True)
class Outputs:
    """Files a pre-training writes, and undeclared folders: one it resumes from, one for TensorBoard."""

    encoder: Path  # safetensors
    card: Path  # JSON
    history: Path  # CSV
    run: Path  # JSON
    checkpoints: Path
    tensorboard: Path


def pretrain(
    inputs: Inputs,
    outputs: Outputs,
    run: PretrainRun,
    settings: Pretraining,
    code: str,
    device: torch.device,
    deadline: float | None = None,
) -> None:
    """Pre-train one encoder with one seed.

    Args:
        inputs: what to read.
        outputs: what to write.
        run: corpus, name of the settings and seed.
        settings: of the pre-training.
        code: digest of the code that trains, part of the checkpoints' fingerprint.
        device: where to train.
        deadline: on `time.monotonic()`; the training saves and stops before it. None: no limit.

    Raises:
        OutOfTime: the training is saved, but not finished.
        InputError: data and settings do not fit together, the starting weights do not fit the encoder, or training
            diverged or collapsed.
    """
    started = now()
    store = FeatureStore.joined(inputs.stores)
    facts = read_json(inputs.corpus)
    clips = read_corpus(inputs.clips)
    norm = NormStats.read(inputs.norm)
    ids = {part: joined_ids(clips, part) for part in ("train", "val")}
    if (norm.split, norm.state) != (fingerprint(sorted(ids["train"])), store.state.fingerprint):
        raise InputError(
            f"{inputs.norm} was fitted on other clips than the training part of {inputs.clips}, or on other features "
            "than those in the stores. Delete it; fit_corpus_norm makes it again."
        )
    scale = Scale.of(norm.mean, norm.std, "mean")
    generator = torch.Generator().manual_seed(derive(run.seed, "init"))
    model = build_pretext(settings, store.state.n_mels, generator)
    start = None
    if inputs.init is not None:
        start = load_start(inputs.init, model, settings.net, store.state)
        log.info("starting weights: %s", dataclasses.asdict(start))
        facts["before"] = start.corpus  # so that all the weights have seen goes on being told
    model.to(device)
    model.activation_checkpointing = settings.train.activation_checkpointing
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    n_parameters = sum(parameter.numel() for parameter in trained)
    train = _clips(store, ids["train"], settings, scale, device)
    plan = EpochPlan(train, {part["dataset"]: part["weight"] for part in facts["parts"]}, settings.train, run.seed)
    held_out = _clips(store, ids["val"], settings, scale, device)
    val = [
        Part(evenly(held_out.subset(mine), MOST_CLIPS), plan.counts[dataset])
        for dataset, mine in held_out.members.items()
    ]
    dtype = autocast_dtype(settings.train.precision, device)
    log.info("%d parameters to train, on %s in %s", n_parameters, device, dtype or torch.float32)
    log.info("clips: %d, validation: %d", len(train.clip_ids), n_val := sum(len(part.clips.clip_ids) for part in val))
    log.info("masked: %d of %d patches", model.n_masked, math.prod(model.grid))
    log.info("applied: %s", settings.model_dump(mode="json"))

    defining = {
        "run": run._asdict(),
        "pretraining": settings.model_dump(mode="json", exclude={"train": WITHOUT_EFFECT}),
        "weights": plan.counts,
        "clips": fingerprint([ids["train"], ids["val"]]),
        "features": store.state.fingerprint,
        "norm": dataclasses.asdict(norm),
        "init": None if start is None else start.sha256,
        "code": code,
    }
    checkpoints = Checkpoints(outputs.checkpoints, fingerprint(defining))
    check = Check(val, settings, run.seed, dtype, model)
    objective = _objective(model, plan, check, settings, run.seed, device)
    optimizer = adam({1.0: trained}, settings.train.optimizer)
    rate = _rate(settings, plan)
    with _tensorboard(outputs.tensorboard if settings.train.tensorboard and rank() == 0 else None) as on_round:
        state = fit(
            model, objective, optimizer, rate, settings.train, None, checkpoints, device, dtype, on_round, deadline
        )
    if rank() > 0:
        return
    card = EncoderCard(
        net=settings.net.model_dump(mode="json"),
        n_mels=store.state.n_mels,
        mean=norm.mean,
        std=norm.std,
        frontend=store.state.to_json(),
        corpus=facts,
        provenance={**run._asdict(), "code": code, "fingerprint": checkpoints.fingerprint},
    )
    save_weights(outputs.encoder, outputs.card, model, card)
    history = pd.DataFrame(state.history).rename(columns={"round": "check"})
    history.insert(2, "epoch", history["step"] / plan.steps_per_epoch)
    history["best"] = (history["check"] == state.best_round).astype(int)
    write_csv(history, outputs.history)
    write_json(
        outputs.run,
        {
            **defining,
            "pretraining": settings.model_dump(mode="json"),
            "corpus": facts,
            "best_check": state.best_round,
            "kept_by": objective.select,
            "steps": int(history["step"].iloc[-1]),
            "n_train": len(train.clip_ids),
            "n_val": n_val,
            "n_short": len(clips) - len(train.clip_ids) - len(held_out.clip_ids),
            "n_patches": math.prod(model.grid),
            "n_masked": model.n_masked,
            "parameters": n_parameters,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "processes": world(),
            "precision": str(dtype or torch.float32).removeprefix("torch."),
            "peak_memory_mb": round(peak_memory_mb(device), 1),
            "minutes": round(state.seconds / 60, 3),
            "energy": known(state.kwh),
            "init": "scratch" if start is None else dataclasses.asdict(start),
            "started": started,
            "ended": now(),
            "encoder_sha256": sha256(outputs.encoder),
            "environment": environment(),
        },
    )
    checkpoints.remove()


def _clips(store: FeatureStore, ids: list[str], settings: Pretraining, scale: Scale, device: torch.device) -> ClipSet:
    """Clips of one part; those too short to mask anything are left out, which is told."""
    columns, fewest = settings.net.patch[1], fewest_frames(settings.net.patch, store.state.n_mels)
    long_enough = store.where(ids).n_frames >= fewest
    if not long_enough.all():
        short = [clip_id for clip_id, enough in zip(ids, long_enough, strict=True) if not enough]
        log.warning("%d clips shorter than %d frames are left out, such as %s", len(short), fewest, short[0])
    kept = tuple(clip_id for clip_id, enough in zip(ids, long_enough, strict=True) if enough)
    if not kept:
        raise InputError(
            f"all {len(ids)} clips of a part of the corpus are shorter than the {fewest} frames that hold "
            f"{FEWEST_PATCHES} patches. Make net.patch smaller, or give the corpus longer clips."
        )
    return ClipSet(store, kept, np.zeros((len(kept), 0), np.float32), settings.net.n_frames, scale, device, columns)


def _objective(
    model: PretextModel,
    plan: EpochPlan,
    check: Check,
    settings: Pretraining,
    seed: int,
    device: torch.device,
) -> Objective:
    steps = min(settings.train.check_every or min(plan.steps_per_epoch, MOST_STEPS), plan.n_steps)
    per_round = steps * settings.train.accumulate
    rounds = math.ceil(plan.n_batches / per_round)
    masks = torch.Generator(device)

    def batches(round_: int) -> Iterator[Batch]:
        masks.manual_seed(derive(seed, "mask", round_))
        first = (round_ - 1) * per_round
        yield from plan.batches(first, min(per_round, plan.n_batches - first), model.whole)

    def loss(batch: Batch) -> dict[str, Tensor]:
        n_frames = None if batch.full else batch.n_frames
        return model.losses(batch.x, n_frames, masks, batch.share)

    select, larger_is_better = model.select
    return Objective(
        round_name="check",
        batches=batches,
        rounds=rounds,
        n_batches=per_round,
        n_batches_last=plan.n_batches - (rounds - 1) * per_round,
        loss=loss,
        validate=lambda: check(model),
        select=select,
        larger_is_better=larger_is_better,
        before_step=model.before_step,
    )


def _rate(settings: Pretraining, plan: EpochPlan) -> Callable[[int, list[dict[str, Any]]], float]:
    schedule, lr = settings.train.schedule, settings.train.optimizer.lr

    def rate(step: int, history: list[dict[str, Any]]) -> float:
        if isinstance(schedule, PlateauSchedule):
            return lr * plateau_factor(schedule, step, [-row["val_loss"] for row in history])
        return learning_rate(lr, schedule, step, plan.n_steps, 1)

    return rate


@contextmanager
def _tensorboard(folder: Path | None) -> Iterator[Callable[[list[dict[str, Any]]], None] | None]:
    """Writes the history for TensorBoard: all of it first, as an earlier attempt may have been stopped anywhere."""
    if folder is None:
        yield None
        return
    from tensorboardX import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    written = 0
    with SummaryWriter(str(folder), flush_secs=10) as writer:

        def write(history: list[dict[str, Any]]) -> None:
            nonlocal written
            for row in history[written:]:
                for name in row.keys() - {"round", "step"}:
                    writer.add_scalar(name.replace("_", "/", 1), row[name], row["step"])
            written = len(history)

        yield write
