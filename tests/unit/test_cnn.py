"""The convolutional network to compare with: the paper's layers, over clips of any length."""

import pytest
import torch

from tymbal.config.models import Cnn
from tymbal.models.build import build
from tymbal.models.classifier import Classifier
from tymbal.models.flops import forward_flops


def network(n_frames: int = 192, n_mels: int = 32, n_classes: int = 3, seed: int = 0) -> Classifier:
    net = Cnn(arch="cnn", n_frames=n_frames)
    return build(net, n_mels, n_classes, torch.Generator().manual_seed(seed)).eval()


def spectrograms(n_frames: int, n_mels: int = 32) -> torch.Tensor:
    return 0.5 * torch.randn(2, n_frames, n_mels, generator=torch.Generator().manual_seed(1))


def test_layers_of_the_paper():
    """24, 48 and 48 filters of 5 x 5, 2400 values to 64 units, 10 classes."""
    model = network(128, 128, 10)
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim > 1]
    assert shapes == [(24, 1, 5, 5), (48, 24, 5, 5), (48, 48, 5, 5), (64, 48, 2, 25), (10, 64, 1, 1)]
    assert model.parameter_counts()["total"] == 241_434
    products = 124 * 124 * 24 * 25 + 27 * 58 * 48 * 24 * 25 + 2 * 25 * 48 * 48 * 25 + 2400 * 64 + 64 * 10
    assert forward_flops(model, spectrograms(128, 128)[:1]) == 2 * products


def test_a_clip_is_the_mean_of_its_windows():
    model, x = network(), spectrograms(192)
    windows = torch.stack([model(x[:, start : start + 128]) for start in range(0, 192 - 128 + 1, 16)])
    assert len(windows) == 5
    torch.testing.assert_close(model(x), windows.mean(dim=0), rtol=0, atol=1e-5)


def test_a_short_clip_is_filled_up_to_a_window():
    model, x = network(50), spectrograms(50)
    assert torch.equal(model(x), model(torch.cat([x, torch.zeros(2, 78, 32)], dim=1)))


def test_weights_come_from_the_generator_alone():
    before = torch.random.get_rng_state()
    first, again, other = network(), network(), network(seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.ndim == 1 or not torch.equal(a, c), name


def test_signals_keep_their_size_through_random_layers():
    """He's rule: without it, logits of all clips begin as good as equal."""
    model, x = network(n_mels=128), spectrograms(192, 128)
    assert 0.02 < model(x).std().item() < 2


def test_every_parameter_is_trained():
    model = network().train()
    model(spectrograms(192)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_frozen_encoder_computes_as_in_evaluation():
    model = network()
    model.freeze_encoder()
    assert model.train() is model
    assert (model.encoder.training, model.head.training) == (False, True)
    model(spectrograms(192)).square().sum().backward()
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None} == {"head"}
    model.eval()
    assert not model.head.training


@pytest.mark.parametrize("n_mels", [40, 64])
def test_mel_bins(n_mels):
    assert network(n_mels=n_mels)(spectrograms(192, n_mels)).shape == (2, 3)


def test_the_fewest_mel_bins_are_those_the_configuration_allows():
    network(n_mels=Cnn.least_mels)
    with pytest.raises(AssertionError, match="31 mel bins are too few"):
        network(n_mels=Cnn.least_mels - 1)
