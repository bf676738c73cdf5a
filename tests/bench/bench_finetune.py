"""A fine-tuning step: against the rate of a large matrix product, with plain attention, and in bfloat16."""

import math
from collections.abc import Callable
from functools import partial

import torch
from harness import Goal, Measurement, apart, benchmark, interleaved_medians
from torch import Tensor

from tymbal.config.models import LayeredOptimizer, Ssast
from tymbal.devices import peak_memory_mb
from tymbal.inference import mean_loss
from tymbal.models.flops import forward_flops
from tymbal.models.ssast import SSAST
from tymbal.models.vit import Attention
from tymbal.train.optim import build_optimizer

N_MELS, N_FRAMES, N_CLASSES = 128, 1024, 12
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


def build_net(size: str, stride: int, generator: torch.Generator) -> SSAST:
    """SSAST for clips of 1024 frames, 12 classes."""
    net = Ssast(arch="ssast", size=size, n_frames=N_FRAMES, stride=(stride, stride))
    return SSAST(net, N_MELS, N_CLASSES, generator)


def step_of(size: str, stride: int, batch_size: int, device: torch.device = CPU) -> Callable[..., None]:
    """Forward, backward and Adam of the same clips of noise; takes a type for autocast, None for float32."""
    generator = torch.Generator().manual_seed(0)
    model = build_net(size, stride, generator).to(device)
    optimizer = build_optimizer(model, LayeredOptimizer(lr=1e-4))
    x = torch.randn(batch_size, N_FRAMES, N_MELS, generator=generator).to(device)
    y = torch.rand(batch_size, N_CLASSES, generator=generator).to(device)

    def step(dtype: torch.dtype | None = None) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            logits = model(x)
        mean_loss(logits.float(), y, "bce").backward()
        optimizer.step()

    return step


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
