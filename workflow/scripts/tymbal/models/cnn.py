"""A small convolutional network on log-mel spectrograms, to compare with.

Salamon, Bello: Deep Convolutional Neural Networks and Data Augmentation for Environmental Sound Classification, IEEE
Signal Processing Letters 24(3), 2017 (arXiv 1608.04363), section II-A.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tymbal.config.models import Cnn
from tymbal.models.classifier import Classifier

WINDOW = 128  # frames that the network sees at a time


class SBCNN(Classifier):
    """The paper's network: three convolutions and two dense layers over windows of 128 frames.

    A clip's logits are the mean of its windows', one every 16 frames. The paper trains on single windows and averages
    only to predict; here the clip is what is learnt, as its label is all that is known. The dense layers are written
    as convolutions, so that windows share what they have in common. The paper's frames are 23 ms long, not 10 ms
    apart; its weight decay, on the dense layers alone, is left to the optimiser.

    Args:
        net: length of the input.
        n_mels: mel bins F of the input, 32 or more.
        n_classes: number of logits C.
        generator: source of the initial weights.
    """

    def __init__(self, net: Cnn, n_mels: int, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.input_shape = (net.n_frames, n_mels)
        with torch.device("meta"):  # torch's constructors would draw from the global generator
            self.encoder = nn.Sequential(
                *(nn.Conv2d(1, 24, 5), nn.MaxPool2d((4, 2)), nn.ReLU()),
                *(nn.Conv2d(24, 48, 5), nn.MaxPool2d((4, 2)), nn.ReLU()),
                *(nn.Conv2d(48, 48, 5), nn.ReLU()),
            )
            window = self.encoder(torch.empty(1, 1, WINDOW, n_mels)).shape[2:]
            assert min(window) > 0, f"{n_mels} mel bins are too few"
            self.head = nn.Sequential(
                *(nn.Dropout(), nn.Conv2d(48, 64, window), nn.ReLU()),
                *(nn.Dropout(), nn.Conv2d(64, n_classes, 1)),
            )
        self.to_empty(device="cpu")
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, n_frames: Tensor | None = None) -> Tensor:
        """Logits of a batch.

        Args:
            x: normalised log-mel spectrograms [B, T, F]; shorter than a window, they are filled up with zeros.
            n_frames: None, as it hears padding.

        Returns:
            Logits [B, C]; their sigmoid or softmax is the score, according to the loss trained with.
        """
        assert n_frames is None
        x = F.pad(x, (0, 0, 0, max(0, WINDOW - x.shape[1])))
        windows = self.head(self.encoder(x[:, None]))  # [B, C, windows, 1]
        return windows.mean(dim=(2, 3))
