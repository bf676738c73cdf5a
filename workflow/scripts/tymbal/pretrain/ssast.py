"""Masked spectrogram patch modelling, the pretext task of SSAST (Gong et al., AAAI 2022, section 2.2, Algorithm 1).

Some patches are replaced by a learned token. From the encoder's output there, one head must tell which of the masked
patches it was (discriminative), another what it looked like (generative).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tymbal.config.models import SsastEncoder
from tymbal.config.pretrain import PatchPretext, Pretraining
from tymbal.models.ssast import SIZES, SsastBackbone
from tymbal.pretrain.masks import Mask, draw, n_masked
from tymbal.pretrain.pretext import PretextModel
from tymbal.train.distributed import Share

IDLE = {"joint": (), "discriminative": ("gpredlayer.",), "generative": ("cpredlayer.",)}  # heads without use


class MaskedPatchModel(SsastBackbone, PretextModel):
    """SSAST's encoder with what only pre-training needs. Patches do not overlap. Names are the original's.

    Args:
        settings: network and pretext task.
        n_mels: mel bins F of the input.
        generator: source of the initial weights.
    """

    def __init__(self, settings: Pretraining, n_mels: int, generator: torch.Generator) -> None:
        net, pretext = settings.net, settings.pretext
        assert isinstance(net, SsastEncoder) and isinstance(pretext, PatchPretext)
        dim, area = SIZES[net.size].dim, net.patch[0] * net.patch[1]
        with torch.device("meta"):
            super().__init__(net.size, net.patch, net.patch, (net.n_frames, n_mels))
            self.mask_embed = nn.Parameter(torch.empty(1, 1, dim))
            self.cpredlayer = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, area))
            self.gpredlayer = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, area))
        self.pretext, self.n_masked = pretext, n_masked(pretext.masking, self.grid)
        linear = [layer for head in (self.cpredlayer, self.gpredlayer) for layer in (head[0], head[2])]
        self.materialise(generator, linear)
        with torch.no_grad():
            nn.init.normal_(self.mask_embed, std=dim**-0.5, generator=generator)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not name.startswith(IDLE[pretext.objective]))

    def losses(
        self, x: Tensor, n_frames: Tensor | None, generator: torch.Generator, share: Share | None = None
    ) -> dict[str, Tensor]:
        """As `PretextModel.losses`; the parts are those of `losses_at`."""
        share = share or Share(len(x))
        t_dim = x.shape[1] // self.patch[1]
        valid = None if n_frames is None else n_frames // self.patch[1]
        drawn = (
            draw(self.pretext.masking, self.grid, t_dim, valid, share.n, generator) for _ in range(self.pretext.passes)
        )
        masks = [mask.of(share.rows) for mask in drawn]
        return self.losses_at(x, masks[0], masks[-1], None if valid is None else valid[share.rows])

    def losses_at(self, x: Tensor, contrasted: Mask, rebuilt: Mask, valid: Tensor | None) -> dict[str, Tensor]:
        """Losses at given masks; one pass through the encoder if both objectives have the same.

        Args:
            x: normalised log-mel, [B, T, F].
            contrasted: mask of the discriminative objective.
            rebuilt: mask of the generative objective; the same object for a single pass.
            valid: patches along time that hold no padding, [B]; None for all.

        Returns:
            Scalars: `loss`, which is to be minimised, and what it is made of, without gradients: `nce` and `accuracy`
            (discriminative), `mse` (generative).
        """
        objective = self.pretext.objective
        parts: dict[str, Tensor] = {}
        patches, z = self.patches(x), None
        if objective != "generative":
            z = self(x, contrasted, valid)
            parts["nce"], parts["accuracy"] = info_nce(
                take(patches, contrasted), self.cpredlayer(z), contrasted.scored, self.pretext.contrast, contrasted.n
            )
        if objective != "discriminative":
            if z is None or rebuilt is not contrasted:
                z = self(x, rebuilt, valid)
            parts["mse"] = reconstruction(take(patches, rebuilt), self.gpredlayer(z), rebuilt.scored, rebuilt.n)
        loss = {
            "joint": lambda: parts["nce"] + self.pretext.mse_weight * parts["mse"],
            "discriminative": lambda: parts["nce"],
            "generative": lambda: parts["mse"],
        }[objective]()
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    def forward(self, x: Tensor, mask: Mask, valid: Tensor | None = None) -> Tensor:
        """What the encoder makes of masked patches.

        Args:
            x: normalised log-mel, [B, T, F]; T is n_frames or less.
            mask: what to hide.
            valid: patches along time that hold no padding, [B]; the others take no part. None for all.

        Returns:
            Tokens at the masked patches after the final norm, [B, K, D].
        """
        tokens = self.patch_embed(x)  # [B, n, D]
        scored = torch.ones_like(mask.index, dtype=torch.bool) if mask.scored is None else mask.scored
        hidden = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=x.device).scatter(1, mask.index, scored)
        tokens = torch.where(hidden[:, :, None], self.mask_embed.to(tokens.dtype), tokens)
        return take(self._encode(tokens, valid), mask)

    def tokens(self, x: Tensor, n_frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """As `PretextModel.tokens` has it."""
        valid = None if n_frames is None else n_frames // self.patch[1]
        z = self._encode(self.patch_embed(x), valid)
        return z, None if valid is None else self._sounding(z.shape[1] // self.grid[0], valid)

    def fill_in(self, x: Tensor, n_frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As `PretextModel.fill_in`: with the reconstruction.

        Where no head was trained to reconstruct, it is the masked patch of the clip that the discriminative head takes
        for the one hidden there.
        """
        valid = n_frames // self.patch[1]
        mask = draw(self.pretext.masking, self.grid, self.grid[1], valid, len(x), generator)
        patches, z = self.patches(x), self(x, mask, valid)
        if self.pretext.objective == "discriminative":
            targets = take(patches, mask)
            scores = targets @ self.cpredlayer(z).transpose(1, 2)  # [B, targets, places]
            if mask.scored is not None:
                scores = scores.masked_fill(~mask.scored[:, :, None], -torch.inf)
            made = targets.gather(1, scores.argmax(dim=1)[:, :, None].expand(-1, -1, targets.shape[-1]))
        else:
            made = self.gpredlayer(z)
        assert mask.scored is not None
        clip, place = mask.scored.nonzero(as_tuple=True)
        index = mask.index[clip, place]
        replaced, hidden = patches.clone(), torch.zeros_like(patches, dtype=torch.bool)
        replaced[clip, index] = made[clip, place]
        hidden[clip, index] = True
        return self.unpatch(replaced, x), self.unpatch(hidden, torch.zeros_like(x, dtype=torch.bool))

    def _encode(self, tokens: Tensor, valid: Tensor | None) -> Tensor:
        """Patch tokens after the final norm, [B, n, D]."""
        t_dim = tokens.shape[1] // self.grid[0]
        visible = None if valid is None else self._sounding(t_dim, valid)
        return self.encode(self.with_positions(tokens), visible)[:, self.class_tokens :]

    def _sounding(self, t_dim: int, valid: Tensor) -> Tensor:
        """Which patches of an input that may be shorter hold no padding, [B, n]."""
        return (torch.arange(t_dim, device=valid.device) < valid[:, None]).repeat(1, self.grid[0])


def info_nce(
    targets: Tensor, predictions: Tensor, scored: Tensor | None, contrast: str, n: Tensor | int | None = None
) -> tuple[Tensor, Tensor]:
    """Contrastive loss of masked patches against the other masked patches of the same clip, and its accuracy.

    With scores S_ij = <target i, prediction j>, neither scaled nor normalised: `targets` is SSAST's equation 1, in
    which prediction j must find its patch among all targets i. `predictions` is the released code: target i must find
    its prediction among all j. There a bias of the last layer has no effect on the loss, and the accuracy is of
    another question than the loss; hence the former is the default.

    Args:
        targets: patches as they are, [B, K, A].
        predictions: of the discriminative head, [B, K, A].
        scored: which of them count, [B, K]; None for all.
        contrast: `targets` or `predictions`.
        n: how many count in the whole batch, of whose means these clips' parts are wanted; None: these are all.

    Returns:
        Mean loss over all masked patches, and the share of predictions whose own target has the largest score: of the
        softmax over predictions if that is the contrast, as in the released code.
    """
    with torch.autocast(targets.device.type, enabled=False):
        scores = targets.float() @ predictions.float().transpose(1, 2)  # [B, targets, predictions]
        if scored is not None:
            other = scored[:, :, None] if contrast == "targets" else scored[:, None, :]
            scores = scores.masked_fill(~other, -torch.inf)
        log_share = scores.log_softmax(dim=1 if contrast == "targets" else 2)
        if scored is not None:
            log_share = log_share.masked_fill(~(scored[:, :, None] & scored[:, None, :]), -torch.inf)
        own = log_share.diagonal(dim1=1, dim2=2)  # [B, K]
        right = log_share.argmax(dim=1) == torch.arange(own.shape[1], device=own.device)
    return -_mean(own, scored, n), _mean(right.float(), scored, n)


def reconstruction(
    targets: Tensor, predictions: Tensor, scored: Tensor | None, n: Tensor | int | None = None
) -> Tensor:
    """Mean squared error of all values of all masked patches (SSAST, equation 2).

    Args:
        targets: patches as they are, [B, K, A].
        predictions: of the generative head, [B, K, A].
        scored: which of them count, [B, K]; None for all.
        n: as of `info_nce`.
    """
    error = F.mse_loss(predictions.float(), targets.float(), reduction="none").mean(dim=2)
    return _mean(error, scored, n)


def _mean(values: Tensor, scored: Tensor | None, n: Tensor | int | None) -> Tensor:
    if n is None:
        n = values.numel() if scored is None else scored.sum()
    return (values if scored is None else values.where(scored, 0)).sum() / n


def take(tokens: Tensor, mask: Mask) -> Tensor:
    """What is at the masked places, [B, n, D] in and [B, K, D] out."""
    return tokens.gather(1, mask.index[:, :, None].expand(-1, -1, tokens.shape[-1]))
