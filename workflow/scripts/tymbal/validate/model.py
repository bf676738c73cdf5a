"""One real step of each planned model on the processor, forward and backward, and what it says of memory and time."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from tymbal.config import Model
from tymbal.inference import Loss, mean_loss
from tymbal.models.checkpoints import load_ssast
from tymbal.models.ssast import SSAST, flops_per_clip
from tymbal.validate.estimate import (
    BACKWARD,
    CARDS_GB,
    COMMON_GB,
    CONTEXT,
    CPU_FASTER,
    FAST,
    PARAMETER,
    SLOW,
    Kept,
    Workload,
    accumulation,
    attempts_needed,
    cpu_minutes,
    gpu_minutes,
    holds,
    training_bytes,
)
from tymbal.validate.findings import Finding

TRIED_S = 1.0  # short steps are repeated, for a steady time


@dataclass(frozen=True)
class Trial:
    """What one step showed.

    Attributes:
        problems: what must be fixed; the rest is then of no use.
        n_parameters: all of them are trained.
        loss: mean loss of the step, from which training starts.
        seconds_per_clip: of a step, forward and backward, on one core of this processor.
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
        cluster: whether it is submitted to a cluster.
        threads: of the job on a processor.
    """

    minutes: tuple[float, ...]
    gpu: bool
    cluster: bool
    threads: int


def try_model(settings: Model, n_mels: int, n_classes: int) -> Trial:
    """Build a model, load its starting weights and make a few steps, forward and backward, at the real shapes.

    It may be a login node: one clip at a time, and no optimiser, which would hold all weights twice more.

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
    x = 0.5 * torch.randn(2, *model.input_shape, generator=generator)  # normalised features have this deviation
    kept = {"mixed": kept_bytes(model, x, torch.bfloat16), "fp32": kept_bytes(model, x, None)}
    losses, seconds = _steps(model, x[:1], n_classes, settings.train.loss)
    problems = []
    if not all(map(math.isfinite, losses)):
        problems.append(f"the loss of the first steps is {losses}")
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            problems.append(f"{name}: has no gradient, so it is never trained")
        elif not parameter.grad.isfinite().all():
            problems.append(f"{name}: has a gradient that is not finite")
    return Trial(
        problems=tuple(problems),
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        loss=losses[0],
        seconds_per_clip=seconds,
        kept=kept,
        flops_per_clip=flops_per_clip(settings.net, n_mels, n_classes),
    )


def _steps(model: SSAST, x: torch.Tensor, n_classes: int, loss_name: Loss) -> tuple[list[float], float]:
    """Losses of a few steps with one clip, and the processor time of one."""
    y = torch.eye(n_classes)[:1]
    losses: list[float] = []
    times: list[float] = []
    while len(times) < 2 or sum(times) < TRIED_S:  # the first also waits for memory
        started = time.process_time()
        model.zero_grad(set_to_none=True)
        loss = mean_loss(model(x).float(), y, loss_name)
        loss.backward()
        times.append(time.process_time() - started)
        losses.append(loss.item())
    return losses, min(times)


def kept_bytes(model: SSAST, x: torch.Tensor, dtype: torch.dtype | None) -> Kept:
    """What a forward pass would keep for the backward pass beside the weights; each storage counts once.

    Args:
        model: on the CPU.
        x: two or more spectrograms [B, T, F].
        dtype: of autocast, None for float32.
    """

    def measure(batch: torch.Tensor) -> int:
        weights = {StorageWeakRef(parameter.untyped_storage()) for parameter in model.parameters()}
        nothing = torch.empty(0)
        sizes: dict[StorageWeakRef, int] = {}  # told apart without being kept, so that it takes next to no memory

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            sizes[StorageWeakRef(storage)] = storage.nbytes()
            return nothing

        with (
            torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
            torch.autocast("cpu", dtype=dtype, enabled=dtype is not None),
        ):
            model(batch)
        return sum(size for storage, size in sizes.items() if storage not in weights)

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
        remedy = "use other starting weights; if that does not help, please report it"
        return [Finding("error", area, "one training step goes wrong", trial.problems, remedy)]
    batch_size = settings.train.batch_size
    needs = {name: training_bytes(trial.n_parameters, kept, batch_size) for name, kept in trial.kept.items()}
    asked = "fp32" if settings.train.precision == "fp32" else "mixed"
    card = next((size for size in CARDS_GB if holds(size, needs[asked])), None)
    fitting = f"{card} GB cards hold it" if card else "no usual card holds it"
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
    if not holds(COMMON_GB, needs[asked]):
        findings.append(_too_large(area, settings, trial, needs[asked], asked))
    return findings


def job_findings(limits: Limits) -> list[Finding]:
    """What the jobs that train ask for."""
    if not limits.cluster or limits.gpu:
        return []
    remedy = (
        "if that is not meant, give `gpu: 1` of finetune under set-resources in the profile; --set-resources replaces "
        "all that the profile sets there, so give it there too"
    )
    return [
        Finding("warning", "training jobs", "rule finetune asks for no GPU: it will train on processors", (), remedy)
    ]


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
    fast, slow = (gpu_minutes(work, trial.flops_per_clip, precision, card) for card in (FAST, SLOW))
    cases = (
        f"processor: {trial.seconds_per_clip:.2g} s a clip on one core, measured here; {limits.threads} threads; "
        f"an epoch {_duration(on_cpu / work.epochs)}",
        f"GPU: {trial.flops_per_clip / 1e9:.1f} GFLOP a clip and pass; at {FAST.flops[precision] / 1e12:g} TFLOP/s, as "
        f"the newest cards reach, an epoch {_duration(fast / work.epochs)}; at {SLOW.flops[precision] / 1e12:g}, as "
        f"older or consumer cards reach, {_duration(slow / work.epochs)}",
    )
    gpu = f"{_duration(fast)} (fast card) to {_duration(slow)} (slow card)"
    told = f"{work.epochs} epochs of {n_train:,} clips: about {gpu} on a GPU, {_duration(on_cpu)} here"
    findings = [Finding("info", area, told, cases)]
    if not limits.minutes:
        return findings
    least, most = (fast, slow) if limits.gpu else (on_cpu / CPU_FASTER, on_cpu)
    span = f"{gpu} on a GPU" if limits.gpu else f"{_duration(least)} to {_duration(most)} on a processor"
    runtime = f"runtime of rule finetune is {_duration(limits.minutes[0])}"
    together = f"all {len(limits.minutes)} attempts together have {_duration(sum(limits.minutes))}"
    raise_it = "raise `runtime` of finetune under set-resources in the profile (minutes)"
    more = f"{raise_it} or `retries`, or plan fewer epochs"
    needed = attempts_needed(most, limits.minutes)
    if attempts_needed(least, limits.minutes) is None:
        title = f"training takes about {span}, but {runtime} and {together}"
        findings.append(Finding("error", area, title, cases, more))
    elif needed is None:
        title = f"training takes about {span}: it may not end, as {runtime} and {together}"
        findings.append(Finding("warning", area, title, cases, more))
    elif needed > 1:
        title = f"training takes about {span}, but {runtime}; up to {needed} attempts are needed"
        remedy = f"a retry goes on from the last epoch, so nothing is lost; to do it in one job, {raise_it}"
        findings.append(Finding("warning", area, title, cases, remedy))
    return findings


def _too_large(area: str, settings: Model, trial: Trial, needed: float, precision: str) -> Finding:
    train = settings.train
    parts = accumulation(trial.n_parameters, trial.kept[precision], train.batch_size)
    smaller = "a smaller net or larger strides" if precision == "mixed" else "precision auto, or a smaller net"
    if parts is None:
        remedy = f"even single clips need more; use {smaller}"
    else:
        remedy = (
            f"train.batch_size {train.batch_size // parts} with train.accumulate {train.accumulate * parts} "
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
