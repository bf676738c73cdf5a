"""Where the frames of batches come from: the files, or the GPU itself if the clips fit there.

The files are mapped into memory and read clip by clip. Frames that are on the GPU are gathered there, a batch at a
time: nothing but numbers of rows goes to it.
"""

import numpy as np
import torch
from torch import Tensor

from tymbal.devices import free_memory, send
from tymbal.norm import Scale
from tymbal.store import FeatureStore, Places, normalise

# Of the GPU's memory that is still free after a first pass over the clips, in which training has taken what it needs.
# Training and validation clips both are loaded by this rule, and a quarter at least stays for batches of other shapes.
HELD = 1 / 2


class Frames:
    """The frames of some clips. From the second pass on they are on the device, if they fit there.

    Args:
        store: where the features are.
        places: of N clips in it.
        device: where batches go. On a CPU the files stay mapped.
    """

    def __init__(self, store: FeatureStore, places: Places, device: torch.device) -> None:
        self.store, self.places, self.device = store, places, device
        self.begun = 0  # passes
        self.held: tuple[Tensor, np.ndarray] | None = None  # as `FeatureStore.packed` gives them

    def begin(self) -> None:
        """Begin a pass over the clips: what is used only once is never loaded."""
        self.begun += 1
        if self.begun == 2 and fits(self.n_bytes, free_memory(self.device)):
            self.held = self.store.packed(self.places, self.device)

    @property
    def n_bytes(self) -> int:
        """Of all frames in float16."""
        return 2 * self.store.state.n_mels * int(self.places.n_frames.sum())

    def batch(self, chosen: np.ndarray, first: np.ndarray, length: int, scale: Scale) -> Tensor:
        """Normalised features of some clips on the device, cut or padded at the end to one length.

        Args:
            chosen: positions of B clips.
            first: frame of each to begin with, [B].
            length: in frames.
            scale: normalisation and the value of padding.

        Returns:
            [B, length, F] float32.
        """
        shard, start, n_frames = self.places.at(chosen)
        if self.held is None:
            wanted = Places(shard, start + first, n_frames - first)
            return send(self.store.batch(wanted, length, scale.mean, scale.std, scale.pad)[0], self.device)
        frames, starts = self.held
        begin, n_frames = send(torch.from_numpy(np.stack([starts[chosen] + first, n_frames - first])), self.device)
        return gather(frames, begin, n_frames, length, scale)


def fits(n_bytes: int, free: int) -> bool:
    """Whether frames of so many bytes are to be held on a device with so many free."""
    return n_bytes <= HELD * free


def gather(frames: Tensor, begin: Tensor, n_frames: Tensor, length: int, scale: Scale) -> Tensor:
    """What `FeatureStore.batch` makes, of frames that lie one after the other on a device.

    Args:
        frames: of all clips, [M, F] float16.
        begin: first row of each clip of the batch, [B].
        n_frames: how many it has from there, [B].
        length: in frames, to which clips are cut or padded.
        scale: normalisation and the value of padding.

    Returns:
        [B, length, F] float32.
    """
    time = torch.arange(length, device=frames.device)
    sounding = time < n_frames[:, None]  # [B, length]
    x = normalise(frames[torch.where(sounding, begin[:, None] + time, 0)].float(), scale.mean, scale.std)
    return x.masked_fill_(~sounding[:, :, None], scale.pad)
