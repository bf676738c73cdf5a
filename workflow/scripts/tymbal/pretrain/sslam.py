"""Prediction of what a teacher makes of hidden patches: the pretext tasks of EAT (stage 1) and SSLAM (stage 2).

Chen et al.: EAT: Self-Supervised Pre-Training with Efficient Audio Transformer, IJCAI 2024 (arXiv 2401.03497).
Alex et al.: SSLAM: Enhancing Self-Supervised Models with Audio Mixtures for Polyphonic Soundscapes, ICLR 2025.
The student sees a fifth of a clip's patches. From them a small decoder predicts what the teacher, a slowly moving
average of the student that hears the whole clip, makes of each of the others, and the class token what it makes of the
clip. In stage 2, partial mixtures of two clips are learnt from in the same way, and what is predicted of a mixture must
also fit to what the teacher makes of each of the two alone.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from tymbal.config.pretrain import LatentPretext, Pretraining
from tymbal.models.sslam import SIZES, SslamBackbone
from tymbal.pretrain.block_masks import BlockMask, draw, n_visible
from tymbal.pretrain.latents import frame_loss, mean_token, prediction_std, take, targets, utterance_loss
from tymbal.pretrain.mixtures import Mixing, draw_mixed_columns, mix, retention
from tymbal.pretrain.pretext import PretextModel
from tymbal.train.distributed import Share

NOISE = 0.01  # standard deviation of what is put in hidden places
DECODER_EPS = 1e-5  # of its norms
DECODER_GROUPS = 16


class Decoder(nn.Module):
    """Convolutions over the grid of patches, which put what is seen together for what is hidden.

    Args:
        dim: embedding size D.
        depth: number of convolutions.
        kernel: their size, odd.
    """

    def __init__(self, dim: int, depth: int, kernel: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=DECODER_GROUPS) for _ in range(depth)
        )
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, hidden: Tensor, sounding: Tensor | None) -> Tensor:
        """Predictions in hidden places.

        Args:
            x: tokens on the grid, [R, t_dim, f_dim, D].
            hidden: indices of hidden patches, [R, H].
            sounding: which patches hold no padding, [R, t_dim, f_dim, 1]; the others are as what is beyond the edges.

        Returns:
            [R, H, D].
        """
        for block in self.blocks:
            if sounding is not None:
                x = x * sounding
            # As a view: channels come last in memory all the way, so that nothing is copied to another order.
            y = block(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            x = x + F.gelu(F.layer_norm(y, y.shape[-1:], eps=DECODER_EPS))
        return self.proj(take(x.flatten(1, 2), hidden))


class MaskedLatentModel(SslamBackbone, PretextModel):
    """The encoder as student, with its decoder and its teacher.

    Args:
        settings: of the network and the pretext task.
        n_mels: mel bins F of the input.
        generator: source of the initial weights.
    """

    # Losses against a teacher that moves tell nothing about which check is better; so the last is kept.
    select = ("round", True)

    def __init__(self, settings: Pretraining, n_mels: int, generator: torch.Generator) -> None:
        net, pretext = settings.net, settings.pretext
        assert isinstance(pretext, LatentPretext)
        size = SIZES[net.size]
        with torch.device("meta"):
            super().__init__(net.size, net.patch, (net.n_frames, n_mels))
            self.decoder = Decoder(size.dim, size.decoder_depth, size.decoder_kernel)
        self.materialise(generator, [*self.decoder.blocks, self.decoder.proj])
        with torch.device("meta"):
            self.teacher = SslamBackbone(net.size, net.patch, (net.n_frames, n_mels))
        self.teacher.allocate()
        self.teacher.requires_grad_(False)
        self.reset_teacher()
        self.pretext = pretext
        self.whole = pretext.stage == 2
        n = math.prod(self.grid)
        self.n_masked = n - int(n_visible(pretext.masking, n))
        weights = pretext.weights
        of_mixtures = self.whole and (weights.local_mixed or weights.local_retention)
        self.decoder.requires_grad_(bool(weights.local_unmixed or of_mixtures))

    @torch.no_grad()
    def reset_teacher(self) -> None:
        """Make the teacher a copy of the student."""
        for its, own in self._pairs():
            its.copy_(own)

    @torch.no_grad()
    def before_step(self, step: int) -> None:
        """Move the teacher towards the student, but for the first step, before which they are as they began."""
        if step > 0:
            teacher, student = (list(weights) for weights in zip(*self._pairs(), strict=True))
            get_ema_multi_avg_fn(self.decay(step))(teacher, student, 0)

    def decay(self, step: int) -> float:
        """How much the teacher keeps of itself before an optimiser step, counted from 0."""
        settings = self.pretext.teacher
        return settings.start + (settings.end - settings.start) * min(1.0, step / settings.steps)

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Each weight of the teacher with the student's."""
        student = dict(self.named_parameters())
        return [(weight, student[name]) for name, weight in self.teacher.named_parameters()]

    def losses(
        self, x: Tensor, n_frames: Tensor | None, generator: torch.Generator, share: Share | None = None
    ) -> dict[str, Tensor]:
        """As `PretextModel.losses` has it. All draws are for the whole batch, so that no loss depends on the share."""
        share, clones = share or Share(len(x)), self.pretext.n_clones
        f_dim, t_dim = self.grid[0], x.shape[1] // self.patch[1]
        sounding = None if n_frames is None else self.sounding(n_frames)[:, : t_dim * f_dim]
        mask = draw(self.pretext.masking, (f_dim, t_dim), share.n, clones, sounding, generator)
        mixing = None
        if self.whole:
            columns = draw_mixed_columns(t_dim, self.pretext.share_unmixed, generator)
            heard = None if sounding is None else sounding[:, ::f_dim].roll(1, dims=0)[share.rows][:, columns]
            mixing = Mixing(x.roll(1, dims=0)[share.rows], columns, heard)
            x = x[share.rows]
        places, halves = (t_dim * f_dim, self.cls_token.shape[-1]), 2 if self.whole else 1
        noise = torch.empty(halves, len(x), clones, *places, device=x.device)
        for half, clone in itertools.product(range(halves), range(clones)):  # that of all clips would need much memory
            drawn = torch.randn(share.n, *places, generator=generator, device=x.device)
            noise[half, :, clone] = NOISE * drawn[share.rows]
        sounding = None if sounding is None else sounding[share.rows]
        losses = self.losses_at(x, mask.of(share.rows), noise.flatten(0, 1), sounding, mixing)
        return {name: part * share.counts for name, part in losses.items()}

    def losses_at(
        self, x: Tensor, mask: BlockMask, noise: Tensor, sounding: Tensor | None = None, mixing: Mixing | None = None
    ) -> dict[str, Tensor]:
        """Losses at given masks and mixtures.

        Args:
            x: normalised log-mel, [B, T, F].
            mask: what is visible, of the clips and of their mixtures.
            noise: what to put in hidden places, [B, K, n, D]; with mixtures, which follow the clips, [2 B, K, n, D].
            sounding: which patches hold no padding, [B, n]; None for all.
            mixing: what is laid over the clips in stage 2; None for stage 1.
        """
        if mixing is not None:
            return self._losses_of_mixtures(x, mask, noise, sounding, mixing)
        target, _ = self.targets(self.teacher.embed_patches(x), sounding)
        cls, predicted = self.predict(x, mask, noise, sounding)
        utterance = utterance_loss(cls, mean_token(target, sounding), mask)
        frames = frame_loss(predicted, target, mask)
        weights = self.pretext.weights
        return {
            "loss": weights.global_unmixed * utterance + weights.local_unmixed * frames,
            "global": utterance.detach(),
            "local": frames.detach(),
            "prediction_std": prediction_std(predicted, mask),
        }

    def _losses_of_mixtures(
        self, x: Tensor, mask: BlockMask, noise: Tensor, sounding: Tensor | None, mixing: Mixing
    ) -> dict[str, Tensor]:
        """Stage 2 (SSLAM, Algorithm 1): the clips and their mixtures count half each."""
        weights, f_dim = self.pretext.weights, self.grid[0]
        both = torch.cat([x, mix(x, mixing, self.patch[1])])
        twice = None if sounding is None else torch.cat([sounding, sounding])
        both_targets, last = self.targets(self.teacher.embed_patches(both), twice)
        target, target_mixed = both_targets.chunk(2)
        whole, whole_mixed = mean_token(last, twice).chunk(2)  # of the last layer alone, unlike in stage 1
        outputs = self.predict(both, mask.twice(), noise, twice)
        (cls, cls_mixed), (predicted, predicted_mixed) = (output.chunk(2) for output in outputs)
        parts = {
            "global_unmixed": utterance_loss(cls, whole, mask) / 2,
            "local_unmixed": frame_loss(predicted, target, mask) / 2,
            "global_mixed": utterance_loss(cls_mixed, whole_mixed, mask) / 2,
            "local_mixed": frame_loss(predicted_mixed, target_mixed, mask) / 2,
        }
        if weights.local_retention or weights.global_retention:
            patches = mixing.patches(f_dim)
            heard = None if mixing.heard is None else mixing.heard.repeat_interleave(f_dim, dim=1)
            # The partner as it is heard in the mixture: the teacher is not given what is outside, at their positions.
            its, its_last = self.targets(self.teacher.embed_patches(mixing.partner)[:, patches], heard)
            parts["local_retention"] = frame_loss(predicted_mixed, retention(target, its, patches, heard), mask)
            if weights.global_retention:
                its_whole = mean_token(its_last, heard)
                if heard is not None:  # a partner may be too short to be heard
                    its_whole = torch.where(heard.any(dim=1)[:, None, None], its_whole, whole)
                parts["global_retention"] = utterance_loss(cls_mixed, (whole + its_whole) / 2, mask) / 2
        loss = torch.stack([getattr(weights, name) * part for name, part in parts.items()]).sum()
        deviation = prediction_std(outputs[1], mask.twice())
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}, "prediction_std": deviation}

    def predict(
        self, x: Tensor, mask: BlockMask, noise: Tensor, sounding: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the student predicts of clips of which it sees little.

        Args:
            x: normalised log-mel, [B, T, F].
            mask: what is visible.
            noise: what to put in hidden places, [B, K, n, D].
            sounding: which patches hold no padding, [B, n]; None for all.

        Returns:
            Class tokens [B, K, D], and predictions for the hidden patches [B, K * H, D].
        """
        f_dim, seen = self.grid[0], None if mask.seen is None else mask.seen.flatten(0, 1)
        visible, hidden = mask.visible.flatten(0, 1), mask.hidden.flatten(0, 1)  # [R, V] and [R, H], R = B * K
        patches = take(self.embed_patches(x), mask.visible.flatten(1)).view(*visible.shape, -1)
        tokens, _ = self.encode(patches, seen)
        cls, tokens = tokens.split([1, visible.shape[1]], dim=1)
        if not self.decoder.proj.weight.requires_grad:  # no loss of what it predicts has a weight
            tokens = tokens.detach()
        tokens = noise.flatten(0, 1).scatter(1, visible[:, :, None].expand_as(tokens), tokens.to(noise.dtype))
        if sounding is not None:
            sounding = sounding.repeat_interleave(mask.visible.shape[1], dim=0).view(len(tokens), -1, f_dim, 1)
        predicted = self.decoder(tokens.unflatten(1, (-1, f_dim)), hidden, sounding)
        return cls.reshape(len(x), -1, cls.shape[-1]), predicted.reshape(len(x), -1, cls.shape[-1])

    @torch.no_grad()
    def targets(self, patches: Tensor, sounding: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the teacher makes of embedded patches [B, n, D], as `latents.targets` has it."""
        _, made = self.teacher.encode(patches, sounding, want_mlp=True)
        return targets([each[:, self.class_tokens :] for each in made], sounding)

    def tokens(self, x: Tensor, n_frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """As `PretextModel.tokens` has it."""
        patches = self.embed_patches(x)
        sounding = None if n_frames is None else self.sounding(n_frames)[:, : patches.shape[1]]
        tokens, _ = self.encode(patches, sounding)
        return tokens[:, self.class_tokens :], sounding

    def fill_in(self, x: Tensor, n_frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As `PretextModel.fill_in` has it.

        Predictions are of what the teacher makes of patches, which cannot be turned into a sound. So each hidden place
        gets that hidden patch of the same clip whose target is nearest to the prediction.
        """
        sounding, n = self.sounding(n_frames), math.prod(self.grid)
        mask = draw(self.pretext.masking, self.grid, len(x), 1, sounding, generator)
        shape = len(x), 1, n, self.cls_token.shape[-1]
        noise = NOISE * torch.randn(shape, generator=generator, device=x.device)
        target, _ = self.targets(self.teacher.embed_patches(x), sounding)
        _, predicted = self.predict(x, mask, noise, sounding)
        assert mask.scored is not None
        hidden, scored = mask.hidden[:, 0], mask.scored[:, 0]
        distance = torch.cdist(predicted.float(), take(target, hidden))  # [B, places, patches]
        nearest = distance.masked_fill(~scored[:, None], torch.inf).argmin(dim=2)
        source = torch.arange(n, device=x.device).repeat(len(x), 1)  # which patch is shown in each place
        source = source.scatter(1, hidden, torch.where(scored, hidden.gather(1, nearest), hidden))
        is_hidden = torch.zeros_like(source, dtype=torch.bool).scatter(1, hidden, scored)
        patches = _other_way_round(self.patches(x), self.grid)
        shown, is_hidden = (
            _other_way_round(values, self.grid[::-1])
            for values in (take(patches, source), is_hidden[:, :, None].expand_as(patches))
        )
        return self.unpatch(shown, x), self.unpatch(is_hidden, torch.zeros_like(x, dtype=torch.bool))


def _other_way_round(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Patches [B, n, A] on a grid, row by row, in the order column by column."""
    return patches.unflatten(1, grid).transpose(1, 2).flatten(1, 2)
