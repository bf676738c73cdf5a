"""What the trial of a training says of memory and time, against what its job may use."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tymbal.config.models import EncoderSettings, Frontend, Model
from tymbal.config.pretrain import Pretraining
from tymbal.train.data import LOSS_ALLOWED
from tymbal.validate.estimate import (
    BACKWARD,
    CARDS_GB,
    COMMON_GB,
    CONTEXT,
    CPU_FASTER,
    FAST,
    SLOW,
    Workload,
    accumulation,
    attempts_needed,
    cpu_minutes,
    gpu_minutes,
    holds,
    parameter_bytes,
    training_bytes,
)
from tymbal.validate.findings import Finding, Level
from tymbal.validate.trial import Trial


@dataclass(frozen=True)
class Limits:
    """What a training job may use.

    Attributes:
        rule: that trains, `finetune` or `pretrain`.
        minutes: time limit of each attempt, the first first; empty if there are none, or none known before.
        gpus: that the job asks for.
        cluster: whether it is submitted to a cluster.
        threads: of the job on a processor.
        grace: minutes before its limit at which it saves and stops.
        nodes: that the job asks for.
        mpi: whether it is started by a launcher that reaches several nodes.
    """

    rule: str
    minutes: Sequence[float]
    gpus: int
    cluster: bool
    threads: int
    grace: float = 0
    nodes: int = 1
    mpi: bool = False

    @property
    def usable(self) -> list[float]:
        """Minutes of each attempt in which it trains."""
        return [limit - self.grace for limit in self.minutes]


def patch_findings(area: str, settings: Model | Pretraining, frontend: Frontend) -> list[Finding]:
    """Patches that leave much of the spectrogram out: an incomplete patch at its end is not seen."""
    net = settings.net
    if not isinstance(net, EncoderSettings):
        return []
    stride = getattr(net, "stride", net.patch)
    cases = tuple(
        f"{unseen} of {size} {what} (patches of {patch}, {step} apart)"
        for what, size, patch, step in zip(
            ("mel bins", "frames"), (frontend.n_mels, net.n_frames), net.patch, stride, strict=True
        )
        if (unseen := (size - patch) % step) > LOSS_ALLOWED * size
    )
    if not cases:
        return []
    remedy = "choose net.patch and net.n_frames so that patches fill the spectrogram, or nearly"
    return [
        Finding("warning", area, "patches do not reach the upper or the late end of the spectrogram", cases, remedy)
    ]


def trial_findings(area: str, settings: Model | Pretraining, trial: Trial) -> list[Finding]:
    """What a step says of the model itself: is it sound, which GPUs hold its training.

    Args:
        area: what to say it about.
        settings: of the model variant or the pre-training.
        trial: of it.
    """
    if trial.problems:
        remedy = "use other starting weights; if that does not help, please report it"
        return [Finding("error", area, "one training step goes wrong", trial.problems, remedy)]
    batch_size = settings.train.batch_size
    parameters = parameter_bytes(trial.n_parameters, trial.n_trained)
    needs = {name: training_bytes(parameters, kept, batch_size) for name, kept in trial.kept.items()}
    asked = "fp32" if settings.train.precision == "fp32" else "mixed"
    card = next((size for size in CARDS_GB if holds(size, needs[asked])), None)
    fitting = f"{card} GB cards hold it" if card else "no usual card holds it"
    parts = (
        f"float32 weights, gradients and Adam's moments: {_gb(parameters)}",
        *(
            f"activations of {batch_size} clips, {name}: "
            f"{_gb(BACKWARD * (kept.fixed + kept.per_clip * batch_size))} ({_gb(kept.per_clip)} a clip measured, "
            f"and a tenth more for the backward pass)"
            for name, kept in trial.kept.items()
        ),
        f"CUDA and its workspaces: {_gb(CONTEXT)} assumed",
    )
    trained = "" if trial.n_trained == trial.n_parameters else f", {trial.n_trained:,} of them trained"
    findings = [
        Finding(
            "info",
            area,
            f"{trial.n_parameters / 1e6:.1f} M parameters{trained}; one step at the real shape works (loss "
            f"{trial.loss:.2f})",
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
    """What the jobs of one rule that trains may use, and whether that makes sense."""
    if not limits.cluster:
        return []
    area, where = "training jobs", f"of {limits.rule} under set-resources in the profile"
    gpus = "no GPU" if not limits.gpus else "1 GPU" if limits.gpus == 1 else f"{limits.gpus} GPUs"
    nodes = f" on {limits.nodes} nodes" if limits.nodes > 1 else ""
    time = ", then ".join(map(_duration, limits.minutes)) or "a time limit that is not known before"
    grace = f"; they stop {_duration(limits.grace)} before it" if limits.grace else ""
    findings = [Finding("info", area, f"those of rule {limits.rule} have {gpus}{nodes} and {time}{grace}")]
    if not limits.gpus:
        remedy = (
            f"if that is not meant, give `gpu: 1` {where}; --set-resources replaces all that the profile sets there, "
            "so give it there too"
        )
        title = f"rule {limits.rule} asks for no GPU: it will train on processors"
        findings.append(Finding("warning", area, title, (), remedy))
    if limits.minutes and min(limits.usable) <= 0:
        title = f"rule {limits.rule} stops {limits.grace:g} min before its limit, which is {min(limits.minutes):g} min"
        findings.append(Finding("error", area, title, (), f"raise `runtime` or lower `grace` {where} (minutes)"))
    if limits.nodes > 1 and not limits.mpi:
        title = f"rule {limits.rule} asks for {limits.nodes} nodes, but would use the first alone"
        findings.append(Finding("error", area, title, (), f"give `mpi: srun` {where}, or `nodes: 1`"))
    if limits.gpus % limits.nodes:
        title = f"rule {limits.rule} asks for {limits.gpus} GPUs on {limits.nodes} nodes: not as many on each"
        findings.append(Finding("error", area, title, (), f"`gpu` {where} is of the whole job: make it a multiple"))
    return findings


def time_findings(
    area: str, settings: Model | Pretraining, trial: Trial, work: Workload, limits: Limits
) -> list[Finding]:
    """How long one training takes, against the time limits of its job.

    Args:
        area: what to say it about.
        settings: of the model variant or the pre-training.
        trial: of it.
        work: the largest training among those planned.
        limits: of the job.
    """
    precision = "fp32" if settings.train.precision == "fp32" else "mixed"
    on_cpu = cpu_minutes(work, trial.seconds_per_clip, limits.threads)
    fast, slow = (
        gpu_minutes(work, trial.flops_per_clip, precision, card) / max(1, limits.gpus) for card in (FAST, SLOW)
    )
    cases = (
        f"processor: {trial.seconds_per_clip:.2g} s a clip on one core, measured here; {limits.threads} threads; "
        f"an epoch {_duration(on_cpu / work.epochs)}",
        f"GPU: {trial.flops_per_clip / 1e9:.1f} GFLOP a clip and pass; at {FAST.flops[precision] / 1e12:g} TFLOP/s, as "
        f"the newest cards reach, an epoch {_duration(fast / work.epochs)}; at {SLOW.flops[precision] / 1e12:g}, as "
        f"older or consumer cards reach, {_duration(slow / work.epochs)}",
    )
    gpu = f"{_duration(fast)} (fast card) to {_duration(slow)} (slow card)"
    of_gpus = f"{limits.gpus} GPUs" if limits.gpus > 1 else "a GPU"
    epochs = "1 epoch" if work.epochs == 1 else f"{work.epochs} epochs"
    told = f"{epochs} of {work.n_train:,} clips: about {gpu} on {of_gpus}, {_duration(on_cpu)} here"
    findings = [Finding("info", area, told, cases)]
    usable = limits.usable
    if not usable or min(usable) <= 0:  # which is told of the job
        return findings
    least, most = (fast, slow) if limits.gpus else (on_cpu / CPU_FASTER, on_cpu)
    span = f"{gpu} on {of_gpus}" if limits.gpus else f"{_duration(least)} to {_duration(most)} on a processor"
    grace = f", {_duration(limits.grace)} of it grace" if limits.grace else ""
    runtime = f"runtime of rule {limits.rule} is {_duration(limits.minutes[0])}{grace}"
    together = f"all {len(usable)} attempts together have {_duration(sum(usable))}"
    raise_it = f"raise `runtime` of {limits.rule} under set-resources in the profile (minutes)"
    more = f"{raise_it} or `retries`, or plan fewer epochs"
    needed = attempts_needed(most, usable)
    if attempts_needed(least, usable) is None:
        title = f"training takes about {span}, but {runtime} and {together}"
        findings.append(Finding("error", area, title, cases, more))
    elif most / work.rounds > min(usable):
        level: Level = "error" if least / work.rounds > min(usable) else "warning"
        title = (
            f"from one checkpoint to the next, training takes {_duration(least / work.rounds)} to "
            f"{_duration(most / work.rounds)}, but an attempt has {_duration(min(usable))}: it would do the "
            "same again and again"
        )
        sooner = "lower train.check_every, or " if isinstance(settings, Pretraining) else ""
        findings.append(Finding(level, area, title, cases, f"{sooner}{raise_it}"))
    elif needed is None:
        title = f"training takes about {span}: it may not end, as {runtime} and {together}"
        findings.append(Finding("warning", area, title, cases, more))
    elif needed > 1:
        title = f"training takes about {span}, but {runtime}; up to {needed} attempts are needed"
        remedy = f"a retry goes on from the last checkpoint, so nothing is lost; to do it in one job, {raise_it}"
        findings.append(Finding("warning", area, title, cases, remedy))
    return findings


def start_findings(area: str, settings: Model) -> list[Finding]:
    """What a model starts from, against what of it is trained."""
    if settings.init != "scratch" or not settings.train.freeze_encoder:
        return []
    title = "train.freeze_encoder with init scratch: a classifier is trained on top of a random encoder"
    remedy = "give `init` a pre-training or a checkpoint, unless a random encoder is what you want to compare with"
    return [Finding("warning", area, title, (), remedy)]


def _too_large(area: str, settings: Model | Pretraining, trial: Trial, needed: float, precision: str) -> Finding:
    train = settings.train
    parts = accumulation(parameter_bytes(trial.n_parameters, trial.n_trained), trial.kept[precision], train.batch_size)
    lighter = "train.activation_checkpointing" if isinstance(settings, Pretraining) else "larger strides"
    smaller = f"a smaller net or {lighter}" if precision == "mixed" else "precision auto, or a smaller net"
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
