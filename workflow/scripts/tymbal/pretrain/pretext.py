"""The pretext tasks there are, behind one interface. One more is a module beside this one and a line here."""

import torch
from torch import Tensor

from tymbal.models.encoder import Encoder
from tymbal.train.distributed import Share


class PretextModel(Encoder):
    """An encoder with what only pre-training needs: heads, decoder, teacher."""

    patch: tuple[int, int]  # mel bins and frames; patches do not overlap
    whole = False  # whether each of several processes needs all clips of a batch, as what mixes clips does
    # What chooses the check whose weights are kept: a column of the history, and whether more is better.
    select: tuple[str, bool] = ("val_loss", False)
    n_masked: int  # patches of an input of full length that are hidden

    def losses(
        self, x: Tensor, n_frames: Tensor | None, generator: torch.Generator, share: Share | None = None
    ) -> dict[str, Tensor]:
        """Draw masks for a batch of N clips, and the losses on them.

        Args:
            x: normalised log-mel [B, T, F] of the clips of the share, or, if `whole`, [N, T, F] of all. T is at most
                the length the model is built for.
            n_frames: true frames of each clip of the batch, [N]; None if none is padded. A patch that holds padding is
                neither seen, nor hidden, nor scored.
            generator: source of all draws, on the device of x.
            share: which clips of the batch this process computes; None for all.

        Returns:
            Scalars: `loss`, which is to be minimised, and what it is made of, without gradients. Of a share, its parts
            of the means, which add up to those of the batch.
        """
        raise NotImplementedError

    def before_step(self, step: int) -> None:
        """What has to happen before an optimiser step, counted from 0 over the whole training."""

    def tokens(self, x: Tensor, n_frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the encoder makes of whole clips, in which padding takes no part.

        Args:
            x: normalised log-mel, [B, T, F].
            n_frames: true frames, [B]; None if none is padded.

        Returns:
            Patch tokens [B, n, D], and which of them hold no padding, [B, n]; None for all.
        """
        raise NotImplementedError

    def patches(self, x: Tensor) -> Tensor:
        """Values of each patch, all of the lowest mel bins first: [B, T, F] in, [B, n, patch area] out."""
        rows, columns = self.patch
        t_dim = x.shape[1] // columns
        x = x[:, : t_dim * columns, : self.grid[0] * rows].unflatten(2, (self.grid[0], rows))
        x = x.unflatten(1, (t_dim, columns))  # [B, t_dim, columns, f_dim, rows]
        return x.permute(0, 3, 1, 4, 2).flatten(3).flatten(1, 2)

    def unpatch(self, patches: Tensor, x: Tensor) -> Tensor:
        """Spectrograms [B, T, F] with their patches [B, n, A] replaced: `patches` the other way."""
        (f_dim, t_dim), (rows, columns) = self.grid, self.patch
        values = patches.unflatten(2, (rows, columns)).unflatten(1, (f_dim, t_dim))  # [B, f_dim, t_dim, rows, columns]
        out = x.clone()
        out[:, : t_dim * columns, : f_dim * rows] = values.permute(0, 2, 4, 1, 3).flatten(3).flatten(1, 2)
        return out

    def fill_in(self, x: Tensor, n_frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Let the model fill in hidden patches, for people to look at.

        Args:
            x: normalised log-mel, [B, T, F], of full length.
            n_frames: true frames, [B].
            generator: source of the masks.

        Returns:
            The clips with their hidden patches replaced by what the model takes them for, [B, T, F]; and which values
            were hidden, [B, T, F] bool.
        """
        raise NotImplementedError
