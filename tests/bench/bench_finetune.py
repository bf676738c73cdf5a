"""A fine-tuning step: against the rate of a large matrix product, with plain attention, and in bfloat16."""

import math
import shutil
from collections.abc import Callable
from functools import partial

import torch
from harness import Goal, Measurement, NotHere, apart, benchmark, clock, interleaved_medians
from torch import Tensor

from tymbal.config.models import LayeredOptimizer, Ssast
from tymbal.devices import peak_memory_mb
from tymbal.inference import mean_loss
from tymbal.models.flops import forward_flops
from tymbal.models.ssast import SSAST
from tymbal.models.vit import Attention
from tymbal.train.optim import build_optimizer

N_MELS, N_FRAMES, N_CLASSES = 128, 1024, 12
SHORT = 600  # frames of 6 s
MATRIX = 4096  # rows and columns
BATCH_SIZES = {"tiny": 8, "base": 2}  # of 512 patches
REPEATS = 7
CPU = torch.device("cpu")


@benchmark("finetune_step_tiny")
def finetune_step_tiny() -> list[Measurement]:
    """SSAST tiny, 8 clips of 512 patches."""
    return _against_matrix_product("tiny")


@benchmark("finetune_step_base")
def finetune_step_base() -> list[Measurement]:
    """SSAST base, 2 clips of 512 patches."""
    return _against_matrix_product("base")


@benchmark("finetune_step_tiny_s10")
def finetune_step_tiny_s10() -> list[Measurement]:
    """SSAST tiny, 4 clips of 1,212 patches, every 10 mel bins and frames."""
    return _against_plain_attention("finetune_step_tiny_s10", ("tiny", 10, 4), speed=1.8, memory=1.0)


@benchmark("finetune_step_base_s10")
def finetune_step_base_s10() -> list[Measurement]:
    """SSAST base, 1 clip of 1,212 patches."""
    return _against_plain_attention("finetune_step_base_s10", ("base", 10, 1), speed=1.25, memory=1.0)


@benchmark("attention_512")
def attention_512() -> list[Measurement]:
    """SSAST tiny, 8 clips of 512 patches."""
    return _against_plain_attention("attention_512", ("tiny", 16, 8), speed=1.0, memory=0.7)


@benchmark("finetune_step_short")
def finetune_step_short() -> list[Measurement]:
    """SSAST tiny for 10 s, 8 clips: of 6 s, and half of them of 10 s in batches of like length and in any."""
    short, long, mixed = [SHORT] * 4, [N_FRAMES] * 4, [SHORT, N_FRAMES] * 2
    return [
        _against_padding("finetune_step_short", [short, short], Goal(1.6, ratio=True)),
        _against_padding("finetune_step_mixed", [short, long], Goal(1.2, ratio=True)),
        _against_padding("finetune_step_mixed_unsorted", [mixed, mixed]),
    ]


@benchmark("finetune_step_patchout")
def finetune_step_patchout() -> list[Measurement]:
    """SSAST tiny, 8 clips of 512 patches, of which some are left out; against none."""
    names = {0.5: "finetune_step_half", 0.6: "finetune_step_two_fifths"}
    *seconds, all_seconds = interleaved_medians([step_of("tiny", 16, 8, patchout=p) for p in (*names, 0.0)], REPEATS)
    return [
        Measurement(name, 8 / some, "clips/s", 8 / all_seconds, Goal(1.8, ratio=True), REPEATS)
        for name, some in zip(names.values(), seconds, strict=True)
    ]


@benchmark("precision_cpu")
def precision_cpu() -> list[Measurement]:
    """Steps of 512 patches in bfloat16, against float32."""
    made = []
    for size, batch_size in BATCH_SIZES.items():
        step = step_of(size, 16, batch_size)
        reduced, full = interleaved_medians([partial(step, torch.bfloat16), step], REPEATS)
        name = f"precision_cpu_{size}"
        made.append(Measurement(name, batch_size / reduced, "clips/s", batch_size / full, repeats=REPEATS))
    return made


@benchmark("compile_cpu")
def compile_cpu() -> list[Measurement]:
    """Steps of the tiny net, 4 clips of 512 patches, compiled by torch."""
    return compiled("compile_cpu", "tiny", 4, CPU, None)


def compiled(
    name: str, size: str, batch_size: int, device: torch.device, dtype: torch.dtype | None
) -> list[Measurement]:
    """Steps after `torch.compile`, against those without, and how long the first one takes."""
    if shutil.which("g++") is None:
        raise NotHere("no C++ compiler here, which torch.compile needs")
    plain, fast = (partial(step_of(size, 16, batch_size, device, way), dtype) for way in (False, True))
    now = clock(device)
    start = now()
    fast()
    first = now() - start
    seconds, plain_seconds = interleaved_medians([fast, plain], REPEATS, now)
    return [
        Measurement(name, batch_size / seconds, "clips/s", batch_size / plain_seconds, repeats=REPEATS),
        Measurement(f"{name}_first", first, "s until the first step is done"),
    ]


def build_net(size: str, stride: int, generator: torch.Generator) -> SSAST:
    """SSAST for clips of 1024 frames, 12 classes."""
    net = Ssast(arch="ssast", size=size, n_frames=N_FRAMES, stride=(stride, stride))
    return SSAST(net, N_MELS, N_CLASSES, generator)


def step_of(
    size: str, stride: int, batch_size: int, device: torch.device = CPU, compiled: bool = False, patchout: float = 0.0
) -> Callable[..., None]:
    """Forward, backward and Adam of the same clips of noise; compiled, the first call takes long.

    The step takes a type for autocast, None for float32, and true frames of the clips, [B]: what follows is ignored.
    """
    generator = torch.Generator().manual_seed(0)
    model = build_net(size, stride, generator).to(device)
    model.patchout = patchout
    optimizer = build_optimizer(model, LayeredOptimizer(lr=1e-4))
    if compiled:
        model.compile()
    x = torch.randn(batch_size, N_FRAMES, N_MELS, generator=generator).to(device)
    y = torch.rand(batch_size, N_CLASSES, generator=generator).to(device)

    def step(dtype: torch.dtype | None = None, n_frames: Tensor | None = None) -> None:
        seen, padded = x, None
        if n_frames is not None:
            seen = x[:, : int(n_frames.max())]
            padded = None if (n_frames == seen.shape[1]).all() else n_frames
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            logits = model(seen, padded)
        mean_loss(logits.float(), y, "bce").backward()
        optimizer.step()

    return step


def _against_padding(name: str, batches: list[list[int]], goal: Goal | None = None) -> Measurement:
    """Padding ignored, in clips of so many frames in two batches of 4; against all of 1024 frames."""
    step, lengths = step_of("tiny", 16, 4), [torch.tensor(batch) for batch in batches]
    ways = [lambda: [step(n_frames=n_frames) for n_frames in lengths], lambda: [step() for _ in lengths]]
    seconds, padded_seconds = interleaved_medians(ways, REPEATS)
    n = sum(map(len, batches))
    return Measurement(name, n / seconds, "clips/s", n / padded_seconds, goal, REPEATS)


def step_flops(size: str, stride: int, batch_size: int) -> int:
    """Operations of a step, by formula: the backward pass costs two forward passes."""
    model = build_net(size, stride, torch.Generator()).to("meta")
    return 3 * batch_size * forward_flops(model, torch.empty(1, N_FRAMES, N_MELS, device="meta"))


def plain_attention(self: Attention, x: Tensor, visible: Tensor | None = None) -> Tensor:
    """`Attention.forward` without the fused kernel: the matrix of all pairs of tokens is made and kept."""
    assert visible is None
    b, n, d = x.shape
    q, k, v = self.qkv(x).view(b, n, 3, self.n_heads, d // self.n_heads).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(2, 3) * math.sqrt(self.n_heads / d)).softmax(dim=3)
    return self.proj((weights @ v).transpose(1, 2).reshape(b, n, d))


def _against_matrix_product(size: str) -> list[Measurement]:
    """In float32 with all threads."""
    batch_size = BATCH_SIZES[size]
    name = f"finetune_step_{size}"
    memory = apart(_memory, (size, 16, batch_size), Attention.forward)
    step = step_of(size, 16, batch_size)
    a, b = (torch.randn(MATRIX, MATRIX, generator=torch.Generator().manual_seed(i)) for i in range(2))
    seconds, product_seconds = interleaved_medians([step, lambda: a @ b], REPEATS)
    rate = step_flops(size, 16, batch_size) / seconds / 1e9
    matrix_rate = 2 * MATRIX**3 / product_seconds / 1e9
    return [
        Measurement(name, seconds, "s/step", repeats=REPEATS),
        Measurement(f"{name}_memory", memory, "MB for training"),
        Measurement(f"{name}_gflops", rate, "GFLOP/s", matrix_rate, repeats=REPEATS),
    ]


def _against_plain_attention(name: str, case: tuple[str, int, int], speed: float, memory: float) -> list[Measurement]:
    """The same in float32 with fused and with plain attention.

    Args:
        name: of the measurement.
        case: size, stride and clips in the batch.
        speed: how many times as fast it should be.
        memory: the largest share of the memory it should need.
    """
    ways = Attention.forward, plain_attention
    peak, plain_peak = (apart(_memory, case, way) for way in ways)  # before this process holds what they would inherit
    step = step_of(*case)

    def step_with(way: Callable[..., Tensor]) -> None:
        Attention.forward = way
        step()

    seconds, plain_seconds = interleaved_medians([partial(step_with, way) for way in ways], REPEATS)
    n = case[2]
    return [
        Measurement(name, seconds, "s/step", plain_seconds, repeats=REPEATS),
        Measurement(f"{name}_speed", n / seconds, "clips/s", n / plain_seconds, Goal(speed, ratio=True), REPEATS),
        Measurement(f"{name}_memory", peak, "MB for training", plain_peak, Goal(memory, less=True, ratio=True)),
    ]


def _memory(case: tuple[str, int, int], forward: Callable[..., Tensor]) -> float:
    """What three steps add to the largest memory of this process, in MB."""
    Attention.forward = forward
    before = peak_memory_mb(CPU)
    step = step_of(*case)
    for _ in range(3):
        step()
    return peak_memory_mb(CPU) - before
