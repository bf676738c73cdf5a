"""A step of joint pre-training, against the same step as SSAST's released code makes it, restated plainly.

There each objective has a pass through the encoder and masks of its own; masks are drawn patch by patch, prediction
heads and losses computed clip by clip, attention is not fused, Adam neither.
"""

import random

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
    generator = torch.Generator().manual_seed(0)
    train = {"epochs": 1, "batch_size": batch_size}
    net = {"arch": "ssast", "size": size, "n_frames": N_FRAMES}
    settings = Pretraining.model_validate({"frontend": "fbank", "corpus": "noise", "net": net, "train": train})
    model = MaskedPatchModel(settings, N_MELS, generator)
    x = torch.randn(batch_size, N_FRAMES, N_MELS, generator=generator)
    _check_restatement(model, x[:2])
    fused, plain = (
        adam({1.0: list(model.parameters())}, ADAM),
        torch.optim.Adam(model.parameters(), lr=ADAM.lr, weight_decay=ADAM.weight_decay, betas=ADAM.betas),
    )
    rng = random.Random(0)

    def ours() -> None:
        fused.zero_grad(set_to_none=True)
        model.losses(x, None, generator)["loss"].backward()
        fused.step()

    def released() -> None:
        plain.zero_grad(set_to_none=True)
        masks = [[_plain_mask(rng, model.grid, N_MASKED) for _ in x] for _ in range(2)]
        with sdpa_kernel(SDPBackend.MATH):
            _plain_loss(model, x, *masks).backward()
        plain.step()

    for _ in range(2):
        ours()
    memory = peak_memory_mb(torch.device("cpu"))
    seconds, plain_seconds = interleaved_medians([ours, released], REPEATS)
    name = f"pretrain_step_{size}"
    return [
        Measurement(name, seconds, "s/step", plain_seconds),
        Measurement(f"{name}_speed", batch_size / seconds, "clips/s", batch_size / plain_seconds),
        Measurement(f"{name}_memory", memory, "MB"),
    ]


def _plain_mask(rng: random.Random, grid: tuple[int, int], k: int) -> list[int]:
    """Blocks one after the other, counting anew after each how many patches they cover."""
    side, n = rng.randrange(3, 6), grid[0] * grid[1]
    covered: list[int] = []
    while len(set(covered)) <= k:
        start = rng.randrange(n)
        block = [start + grid[1] * row + column for row in range(side) for column in range(side)]
        covered += [patch for patch in block if 0 < patch < n]
    return list(set(covered))[:k]


def _plain_loss(model: MaskedPatchModel, x: Tensor, contrasted: list[list[int]], rebuilt: list[list[int]]) -> Tensor:
    """Joint loss at given masks: a pass for each objective, and in each clip by clip."""
    patches = F.unfold(x.transpose(1, 2)[:, None], model.patch, stride=model.patch).transpose(1, 2)  # [B, n, A]
    z = _plain_encoder(model, x, contrasted)
    nce = torch.zeros(())
    for tokens, targets, mask in zip(z, patches, contrasted, strict=True):
        scores = targets[mask] @ model.cpredlayer(tokens[mask]).T
        nce = nce - scores.log_softmax(dim=1).diagonal().sum() / (len(x) * len(mask))
        (scores.softmax(dim=1).argmax(dim=0) == torch.arange(len(mask))).float().mean()  # accuracy
    z = _plain_encoder(model, x, rebuilt)
    mse = torch.zeros(())
    for tokens, targets, mask in zip(z, patches, rebuilt, strict=True):
        mse = mse + F.mse_loss(model.gpredlayer(tokens[mask]), targets[mask]) / len(x)
    return nce + 10 * mse


def _plain_encoder(model: MaskedPatchModel, x: Tensor, masks: list[list[int]]) -> Tensor:
    """Patch tokens after the final norm, [B, n, D]; masks laid over the tokens clip by clip."""
    tokens = model.patch_embed(x)
    seen = torch.ones_like(tokens)
    for i, mask in enumerate(masks):
        seen[i, mask] = 0
    return model.encode(tokens * seen + (1 - seen) * model.mask_embed, model.pos_embed)[:, model.class_tokens :]


def _check_restatement(model: MaskedPatchModel, x: Tensor) -> None:
    """It must compute what is compared with it."""
    rng = random.Random(1)
    masks = [[_plain_mask(rng, model.grid, N_MASKED) for _ in x] for _ in range(2)]
    ours, model.pretext = model.pretext, PatchPretext(contrast="predictions", passes=2)
    with torch.no_grad():
        expected = model.losses_at(x, *(Mask(torch.tensor(mask), None) for mask in masks), None)["loss"]
        torch.testing.assert_close(_plain_loss(model, x, *masks), expected, rtol=1e-4, atol=0)
    model.pretext = ours
