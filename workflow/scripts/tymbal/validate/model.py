"""One real training step of each planned model on the processor, and what it says of memory and time."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from tymbal.config import Model, Training
from tymbal.inference import mean_loss
from tymbal.models.checkpoints import load_ssast
from tymbal.models.ssast import SSAST, flops_per_clip
from tymbal.train.optim import build_optimizer
from tymbal.validate.estimate import (
    BACKWARD,
    COMMON_GB,
    CONTEXT,
    GPU_FLOPS,
    PARAMETER,
    Kept,
    Workload,
    accumulation,
    attempts_needed,
    cards_that_hold,
    cpu_minutes,
    gpu_minutes,
    training_bytes,
)
from tymbal.validate.findings import Finding, Level

CLIPS = 2  # of the step that is tried
TRIED_S = 1.0  # short steps are repeated, for a steady time


@dataclass(frozen=True)
class Trial:
    """What one step showed.

    Attributes:
        problems: what must be fixed; the rest is then of no use.
        n_parameters: all of them are trained.
        loss: mean loss of the step, from which training starts.
        seconds_per_clip: of a training step on one core of this processor.
        kept: for the backward pass, in `mixed` and in `fp32` precision.
        flops_per_clip: of a forward pass.
    """

    problems: tuple[str, ...]
    n_parameters: int
    loss: float
    seconds_per_clip: float
    kept: dict[str, Kept]
    flops_per_clip: int


@dataclass(frozen=True)
class Limits:
    """What a training job may use.

    Attributes:
        minutes: time limit of each attempt, the first first; empty without limits.
        gpu: whether the job asks for a GPU.
        threads: of the job on a processor.
    """

    minutes: tuple[float, ...]
    gpu: bool
    threads: int


def try_model(settings: Model, n_mels: int, n_classes: int) -> Trial:
    """Build a model, load its starting weights and make a few steps with the real shapes, loss and optimiser.

    Args:
        settings: of the model variant.
        n_mels: mel bins of its front end.
        n_classes: classes of the data set.

    Raises:
        InputError: the starting weights cannot be read or do not fit, all misfits in one message.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine threads that wait for each other are slower a hundredfold
    try:
        return _try_model(settings, n_mels, n_classes)
    finally:
        torch.set_num_threads(n_threads)


def _try_model(settings: Model, n_mels: int, n_classes: int) -> Trial:
    generator = torch.Generator().manual_seed(0)
    model = SSAST(settings.net, n_mels, n_classes, generator)
    if settings.init != "scratch":
        load_ssast(Path(settings.init), model, settings.net, n_mels)
    x = 0.5 * torch.randn(CLIPS, *model.input_shape, generator=generator)  # normalised features have this deviation
    losses, seconds = _steps(model, x, n_classes, settings.train)
    problems = []
    if not all(map(math.isfinite, losses)):
        problems.append(f"the loss of the first steps is {losses}")
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            problems.append(f"{name}: has no gradient, so it is never trained")
        elif not (parameter.grad.isfinite().all() and parameter.isfinite().all()):
            problems.append(f"{name}: is not finite after a step")
    return Trial(
        problems=tuple(problems),
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        loss=losses[0],
        seconds_per_clip=seconds / CLIPS,
        kept={"mixed": kept_bytes(model, x, torch.bfloat16), "fp32": kept_bytes(model, x, None)},
        flops_per_clip=flops_per_clip(settings.net, n_mels, n_classes),
    )


def _steps(model: SSAST, x: torch.Tensor, n_classes: int, options: Training) -> tuple[list[float], float]:
    """Losses of a few training steps, and the processor time of one."""
    y = torch.eye(n_classes)[torch.arange(len(x)) % n_classes]
    optimizer = build_optimizer(model, options.optimizer, len(model.blocks))
    losses: list[float] = []
    times: list[float] = []
    while len(times) < 2 or sum(times) < TRIED_S:  # the first also waits for memory
        started = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss = mean_loss(model(x).float(), y, options.loss)
        loss.backward()
        optimizer.step()
        times.append(time.process_time() - started)
        losses.append(loss.item())
    return losses, min(times)


def kept_bytes(model: SSAST, x: torch.Tensor, dtype: torch.dtype | None) -> Kept:
    """What a forward pass keeps for the backward pass beside the weights; each storage counts once.

    Args:
        model: on the CPU.
        x: two or more spectrograms [B, T, F].
        dtype: of autocast, None for float32.
    """

    def measure(batch: torch.Tensor) -> int:
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        sizes: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", dtype=dtype, enabled=dtype is not None),
        ):
            logits = model(batch)  # held until all is counted, so that no address is used twice
        total = sum(sizes.values())
        del logits
        return total

    one, all_ = measure(x[:1].clone()), measure(x)  # a view would count with all of its storage
    per_clip = (all_ - one) // (len(x) - 1)
    return Kept(fixed=one - per_clip, per_clip=per_clip)


def trial_findings(area: str, settings: Model, trial: Trial) -> list[Finding]:
    """What a step says of the model itself: is it sound, which GPUs hold its training.

    Args:
        area: what to say it about.
        settings: of the model variant.
        trial: from `try_model`.
    """
    if trial.problems:
        remedy = "use other starting weights or a lower train.optimizer.lr; if neither helps, please report it"
        return [Finding("error", area, "one training step goes wrong", trial.problems, remedy)]
    batch_size = settings.train.batch_size
    needs = {name: training_bytes(trial.n_parameters, kept, batch_size) for name, kept in trial.kept.items()}
    asked = "fp32" if settings.train.precision == "fp32" else "mixed"
    cards = cards_that_hold(needs[asked])
    fitting = f"{cards[0]} GB cards hold it" if cards else "no usual card holds it"
    parts = (
        f"float32 weights, gradients and Adam's moments: {_gb(PARAMETER * trial.n_parameters)}",
        *(
            f"activations of {batch_size} clips, {name}: "
            f"{_gb(BACKWARD * (kept.fixed + kept.per_clip * batch_size))} ({_gb(kept.per_clip)} a clip measured, "
            f"and a tenth more for the backward pass)"
            for name, kept in trial.kept.items()
        ),
        f"CUDA and its workspaces: {_gb(CONTEXT)} assumed",
    )
    findings = [
        Finding(
            "info",
            area,
            f"{trial.n_parameters / 1e6:.1f} M parameters; one step at the real shape works (loss {trial.loss:.2f})",
        ),
        Finding(
            "info",
            area,
            f"batch_size {batch_size} needs about {_gb(needs['mixed'])} of GPU memory, in fp32 {_gb(needs['fp32'])}; "
            f"{fitting}",
            parts,
        ),
    ]
    if needs[asked] > COMMON_GB * 1e9:
        findings.append(_too_large(area, settings, trial, needs[asked], asked))
    return findings


def time_findings(area: str, settings: Model, trial: Trial, n_train: int, n_val: int, limits: Limits) -> list[Finding]:
    """How long one training takes, against the time limits of its job.

    Args:
        area: what to say it about.
        settings: of the model variant.
        trial: from `try_model`.
        n_train: clips of the largest training part among the planned folds.
        n_val: clips of its validation part.
        limits: of the job.
    """
    work = Workload(n_train, n_val, settings.train.batch_size, settings.train.epochs)
    precision = "fp32" if settings.train.precision == "fp32" else "mixed"
    on_cpu = cpu_minutes(work, trial.seconds_per_clip, limits.threads)
    on_gpu = gpu_minutes(work, trial.flops_per_clip, precision)
    cases = (
        f"processor: {trial.seconds_per_clip:.2g} s a clip on one core, measured here; {limits.threads} threads; "
        f"an epoch {_duration(on_cpu / work.epochs)}",
        f"GPU: {trial.flops_per_clip / 1e9:.1f} GFLOP a clip and pass at {GPU_FLOPS[precision] / 1e12:g} TFLOP/s, as "
        f"older or consumer cards reach; an epoch {_duration(on_gpu / work.epochs)}",
    )
    told = f"{work.epochs} epochs of {n_train:,} clips: about {_duration(on_gpu)} on a GPU, {_duration(on_cpu)} here"
    findings = [Finding("info", area, told, cases)]
    if not limits.minutes:
        return findings
    minutes = on_gpu if limits.gpu else on_cpu
    where = "a GPU" if limits.gpu else "a processor"
    needed = attempts_needed(minutes, limits.minutes)
    runtime = f"runtime of rule finetune is {_duration(limits.minutes[0])}"
    raise_it = "raise `runtime` of finetune under set-resources in the profile (minutes)"
    level: Level
    if needed is None:
        level = "error"
        title = (
            f"training takes about {_duration(minutes)} on {where}, but {runtime} and all {len(limits.minutes)} "
            f"attempts together have {_duration(sum(limits.minutes))}"
        )
        remedy = f"{raise_it} or `retries`, or plan fewer epochs"
    elif needed > 1:
        level = "warning"
        title = f"training takes about {_duration(minutes)} on {where}, but {runtime}; {needed} attempts are needed"
        remedy = f"a retry goes on from the last epoch, so nothing is lost; to do it in one job, {raise_it}"
    else:
        return findings
    return [*findings, Finding(level, area, title, cases, remedy)]


def _too_large(area: str, settings: Model, trial: Trial, needed: float, precision: str) -> Finding:
    train = settings.train
    parts = accumulation(trial.n_parameters, trial.kept[precision], train.batch_size)
    smaller = "a smaller net or larger strides" if precision == "mixed" else "precision auto, or a smaller net"
    if parts is None:
        remedy = f"even single clips need more; use {smaller}"
    else:
        remedy = (
            f"train.batch_size {math.ceil(train.batch_size / parts)} with train.accumulate {train.accumulate * parts} "
            f"makes the same step within {COMMON_GB} GB; or use {smaller}"
        )
    return Finding("warning", area, f"training needs about {_gb(needed)} of GPU memory", (), remedy)


def _gb(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{max(1, math.ceil(60 * minutes))} s"
    whole = math.ceil(minutes)
    return f"{whole} min" if whole < 120 else f"{whole // 60} h {whole % 60:02d} min"
