"""Training and features on a GPU, measured only where there is one."""

from collections.abc import Callable
from functools import wraps

import torch
from bench_finetune import compiled, step_flops, step_of
from bench_pretrain import N_FRAMES, N_MELS, build_model, steps
from harness import Benchmark, Goal, Measurement, NotHere, benchmark, clock, interleaved_medians, median

from tymbal.devices import peak_memory_mb
from tymbal.fbank import fbank
from tymbal.models.flops import forward_flops

BATCH_SIZE, MATRIX, REPEATS = 64, 8192, 10
RATE = 16000  # Hz
CLIPS, SECONDS = 1024, 10  # of which features are computed


def on_gpu(measure: Callable[[torch.device], list[Measurement]]) -> Benchmark:
    """A benchmark of what is measured on a device."""

    @wraps(measure)
    def function() -> list[Measurement]:
        if not torch.cuda.is_available():
            raise NotHere("no GPU here")
        try:
            return measure(torch.device("cuda"))
        except torch.OutOfMemoryError as error:
            raise NotHere("the GPU here has too little memory for it") from error

    return function


@benchmark("gpu_finetune_step_base")
@on_gpu
def gpu_finetune_step_base(device: torch.device) -> list[Measurement]:
    """SSAST base, 64 clips of 512 patches, in bfloat16: how much of the rate of a large matrix product it reaches."""
    return finetune_step(device, "base", BATCH_SIZE)


@benchmark("gpu_pretrain_step_base")
@on_gpu
def gpu_pretrain_step_base(device: torch.device) -> list[Measurement]:
    """Joint pre-training of SSAST base, the same; and against the way of SSAST's released code."""
    return pretrain_step(device, "base", BATCH_SIZE)


@benchmark("gpu_compile")
@on_gpu
def gpu_compile(device: torch.device) -> list[Measurement]:
    """The fine-tuning step compiled by torch."""
    return compiled("gpu_compile", "base", BATCH_SIZE, device, torch.bfloat16)


@benchmark("gpu_fbank")
@on_gpu
def gpu_fbank(device: torch.device) -> list[Measurement]:
    """Log-mel of decoded clips that are in the device's memory."""
    return features(device, CLIPS)


def finetune_step(device: torch.device, size: str, batch_size: int, matrix: int = MATRIX) -> list[Measurement]:
    """Forward, backward and Adam."""
    step, name = step_of(size, 16, batch_size, device), f"gpu_finetune_step_{size}"
    return _rated(lambda: step(torch.bfloat16), name, step_flops(size, 16, batch_size), batch_size, device, matrix)


def pretrain_step(device: torch.device, size: str, batch_size: int, matrix: int = MATRIX) -> list[Measurement]:
    """The same of both objectives on one mask; what it is compared with has a pass and a mask for each."""
    model, name = build_model(size), f"gpu_pretrain_step_{size}"
    x, generator = torch.empty(1, N_FRAMES, N_MELS).normal_(), torch.Generator().manual_seed(0)
    flops = 3 * batch_size * forward_flops(lambda: model.losses(x, None, generator)["loss"])
    ours, _ = steps(model, batch_size, device, torch.bfloat16)
    made = _rated(ours, name, flops, batch_size, device, matrix)
    for precision, dtype in (("amp", torch.bfloat16), ("fp32", None)):
        _, released = steps(model, batch_size, device, dtype)
        seconds, released_seconds = interleaved_medians([ours, released], REPEATS, clock(device))
        speed, released_speed = batch_size / seconds, batch_size / released_seconds
        goal = Goal(4, ratio=True)
        made.append(Measurement(f"{name}_against_{precision}", speed, "clips/s", released_speed, goal, REPEATS))
    return made


def features(device: torch.device, n_clips: int) -> list[Measurement]:
    """Seconds of sound a second."""
    waveforms = 0.1 * torch.randn(n_clips, SECONDS * RATE, generator=torch.Generator().manual_seed(0)).to(device)
    seconds = median(lambda: fbank(waveforms, RATE, N_MELS), REPEATS, clock(device))
    return [Measurement("gpu_fbank", n_clips * SECONDS / seconds, "x real time", goal=Goal(20_000), repeats=REPEATS)]


def _rated(
    step: Callable[[], None], name: str, flops: int, batch_size: int, device: torch.device, matrix: int
) -> list[Measurement]:
    """Rate of a step in bfloat16, against that of a product of two square matrices in bfloat16 and in float32."""
    for _ in range(2):
        step()
    memory = peak_memory_mb(device)  # before the matrices are there
    a = torch.randn(matrix, matrix, device=device)
    b = a.bfloat16()
    seconds, full, reduced = interleaved_medians([step, lambda: a @ a, lambda: b @ b], REPEATS, clock(device))
    rate, full_rate, rate_limit = (x / 1e12 for x in (flops / seconds, 2 * matrix**3 / full, 2 * matrix**3 / reduced))
    return [
        Measurement(name, batch_size / seconds, "clips/s", repeats=REPEATS),
        Measurement(f"{name}_tflops", rate, "TFLOP/s", rate_limit, Goal(0.5, ratio=True), REPEATS),
        Measurement(f"{name}_matrix_fp32", full_rate, "TFLOP/s, a product", repeats=REPEATS),
        Measurement(f"{name}_memory", memory, f"MB, {batch_size} clips"),
    ]
