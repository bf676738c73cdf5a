"""A step of joint pre-training, against the same step as SSAST's released code makes it, restated plainly.

There each objective has a pass through the encoder and masks of its own; masks are drawn patch by patch, prediction
heads and losses computed clip by clip, attention is not fused, Adam neither.
"""

import random
from collections.abc import Callable

import torch
import torch.nn.functional as F
from harness import Measurement, benchmark, interleaved_medians
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tymbal.config.models import Optimizer
from tymbal.config.pretrain import PatchPretext, Pretraining
from tymbal.devices import peak_memory_mb
from tymbal.pretrain.masks import Mask
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.train.optim import adam

N_MELS, N_FRAMES, N_MASKED = 128, 1024, 400
ADAM = Optimizer(lr=1e-4)  # as SSAST
REPEATS = 7
CPU = torch.device("cpu")


@benchmark("pretrain_step_tiny")
def pretrain_step_tiny() -> list[Measurement]:
    """SSAST tiny, 8 clips of 1024 frames, 400 of 512 patches masked."""
    return _pretrain_step("tiny", batch_size=8)


@benchmark("pretrain_step_base")
def pretrain_step_base() -> list[Measurement]:
    """SSAST base, 2 clips of 1024 frames, 400 of 512 patches masked."""
    return _pretrain_step("base", batch_size=2)


def _pretrain_step(size: str, batch_size: int) -> list[Measurement]:
    """Forward, backward and Adam in float32 on the CPU with all threads."""
    ours, released = steps(build_model(size), batch_size, CPU)
    for _ in range(2):
        ours()
    memory = peak_memory_mb(CPU)
    seconds, plain_seconds = interleaved_medians([ours, released], REPEATS)
    name = f"pretrain_step_{size}"
    return [
        Measurement(name, seconds, "s/step", plain_seconds, repeats=REPEATS),
        Measurement(f"{name}_speed", batch_size / seconds, "clips/s", batch_size / plain_seconds, repeats=REPEATS),
        Measurement(f"{name}_memory", memory, "MB"),
    ]


def build_model(size: str) -> MaskedPatchModel:
    """SSAST for joint pre-training, on the CPU."""
    train = {"epochs": 1, "batch_size": 1}
    net = {"arch": "ssast", "size": size, "n_frames": N_FRAMES}
    settings = Pretraining.model_validate({"frontend": "fbank", "corpus": "noise", "net": net, "train": train})
    return MaskedPatchModel(settings, N_MELS, torch.Generator().manual_seed(0))


def steps(
    model: MaskedPatchModel, batch_size: int, device: torch.device, dtype: torch.dtype | None = None
) -> tuple[Callable[[], None], Callable[[], None]]:
    """A step of ours and one the released code's way, of the same clips of noise.

    Args:
        model: is moved to the device.
        batch_size: clips.
        device: where to compute.
        dtype: of autocast, None for float32.
    """
    model.to(device)
    generator = torch.Generator(device).manual_seed(0)
    x = torch.randn(batch_size, N_FRAMES, N_MELS, generator=generator, device=device)
    check_restatement(model, x[:2])
    fused, plain = (
        adam({1.0: list(model.parameters())}, ADAM),
        torch.optim.Adam(model.parameters(), lr=ADAM.lr, weight_decay=ADAM.weight_decay, betas=ADAM.betas),
    )
    rng = random.Random(0)

    def ours() -> None:
        fused.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            loss = model.losses(x, None, generator)["loss"]
        loss.backward()
        fused.step()

    def released() -> None:
        plain.zero_grad(set_to_none=True)
        masks = [plain_masks(rng, model, x) for _ in range(2)]
        with sdpa_kernel(SDPBackend.MATH), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            _plain_loss(model, x, *masks).backward()
        plain.step()

    return ours, released


def plain_masks(rng: random.Random, model: MaskedPatchModel, x: Tensor) -> Tensor:
    """Masked patches of each clip, [B, K], one clip after the other."""
    return torch.tensor([_plain_mask(rng, model.grid, N_MASKED) for _ in x], device=x.device)


def _plain_mask(rng: random.Random, grid: tuple[int, int], k: int) -> list[int]:
    """Blocks one after the other, counting anew after each how many patches they cover."""
    side, n = rng.randrange(3, 6), grid[0] * grid[1]
    covered: list[int] = []
    while len(set(covered)) <= k:
        start = rng.randrange(n)
        block = [start + grid[1] * row + column for row in range(side) for column in range(side)]
        covered += [patch for patch in block if 0 < patch < n]
    return list(set(covered))[:k]


def _plain_loss(model: MaskedPatchModel, x: Tensor, contrasted: Tensor, rebuilt: Tensor) -> Tensor:
    """Joint loss at given masks: a pass for each objective, and in each clip by clip."""
    patches = F.unfold(x.transpose(1, 2)[:, None], model.patch, stride=model.patch).transpose(1, 2)  # [B, n, A]
    z = _plain_encoder(model, x, contrasted)
    nce = torch.zeros((), device=x.device)
    for tokens, targets, mask in zip(z, patches, contrasted, strict=True):
        scores = targets[mask] @ model.cpredlayer(tokens[mask]).T
        nce = nce - scores.log_softmax(dim=1).diagonal().sum() / (len(x) * len(mask))
        (scores.softmax(dim=1).argmax(dim=0) == torch.arange(len(mask), device=x.device)).float().mean()  # accuracy
    z = _plain_encoder(model, x, rebuilt)
    mse = torch.zeros((), device=x.device)
    for tokens, targets, mask in zip(z, patches, rebuilt, strict=True):
        mse = mse + F.mse_loss(model.gpredlayer(tokens[mask]), targets[mask]) / len(x)
    return nce + 10 * mse


def _plain_encoder(model: MaskedPatchModel, x: Tensor, masks: Tensor) -> Tensor:
    """Patch tokens after the final norm, [B, n, D]; masks laid over the tokens clip by clip."""
    tokens = model.patch_embed(x)
    seen = torch.ones_like(tokens)
    for i, mask in enumerate(masks):
        seen[i, mask] = 0
    tokens = tokens * seen + (1 - seen) * model.mask_embed
    return model.encode(model.with_positions(tokens))[:, model.class_tokens :]


def check_restatement(model: MaskedPatchModel, x: Tensor) -> None:
    """It must compute what is compared with it."""
    rng = random.Random(1)
    masks = [plain_masks(rng, model, x) for _ in range(2)]
    ours, model.pretext = model.pretext, PatchPretext(contrast="predictions", passes=2)
    with torch.no_grad():
        expected = model.losses_at(x, *(Mask(mask, None) for mask in masks), None)["loss"]
        torch.testing.assert_close(_plain_loss(model, x, *masks), expected, rtol=1e-4, atol=0)
    model.pretext = ours
