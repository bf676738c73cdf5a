"""Patches left out in training: which, of which clips, and nothing else."""

import pytest
import torch

from tymbal.config.models import Ssast, Sslam
from tymbal.models import ssast, sslam
from tymbal.models.classifier import Classifier
from tymbal.models.encoder import keep_some
from tymbal.models.ssast import SSAST
from tymbal.models.sslam import SSLAM

N = 2 * 6  # patches of 16 by 16


@pytest.fixture(params=["ssast", "sslam"])
def model(request, monkeypatch) -> Classifier:
    """Without stochastic depth, so that nothing else is drawn."""
    for module in (ssast, sslam):
        monkeypatch.setitem(module.SIZES, "tiny", module.SIZES["tiny"]._replace(depth=2))
    generator = torch.Generator().manual_seed(0)
    if request.param == "ssast":
        return SSAST(Ssast(arch="ssast", n_frames=96), 32, 3, generator)
    return SSLAM(Sslam(arch="sslam", size="tiny", n_frames=96, pooling="mean", drop_path=0), 32, 3, generator)


def clips(n: int) -> torch.Tensor:
    return torch.randn(n, 96, 32, generator=torch.Generator().manual_seed(1))


def tokens_seen(model: Classifier, x: torch.Tensor) -> torch.Tensor:
    """What the first block is given."""
    seen: list[torch.Tensor] = []
    with model.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        model(x)
    return seen[0].detach()


@pytest.mark.parametrize(("share", "kept"), [(0.5, 6), (0.3, 9), (0.01, 12), (0.99, 1)])
def test_blocks_get_fewer_tokens_and_always_those_of_the_class(model, share, kept):
    x, n_class = clips(3), model.class_tokens
    whole = tokens_seen(model.train(), x)
    model.patchout = share
    some = tokens_seen(model, x)
    assert some.shape == (3, n_class + kept, whole.shape[2])
    assert torch.equal(some[:, :n_class], whole[:, :n_class])
    # With its position, each is one of the same clip, and none comes twice.
    same = (some[:, n_class:, None] == whole[:, None, n_class:]).all(dim=3)
    assert (same.sum(dim=2) == 1).all() and (same.sum(dim=1) <= 1).all()


def test_each_clip_has_its_own_draw_and_no_patch_is_favoured():
    patches = torch.arange(N, dtype=torch.float32).repeat(6000, 1)[:, :, None]
    torch.manual_seed(0)
    kept = keep_some(patches, None, 0.25)[0][:, :, 0].long()
    assert kept.shape == (6000, 9)
    drawn = torch.zeros(6000, N).scatter(1, kept, 1)
    assert (drawn.sum(dim=1) == 9).all()
    assert drawn.unique(dim=0).shape[0] == 220  # all ways to choose 9 of 12
    assert (drawn.mean(dim=0) - 0.75).abs().max() < 0.03


def test_the_same_seed_drops_the_same_patches(model):
    model.patchout, x = 0.5, clips(4)
    model.train()
    torch.manual_seed(5)
    first = model(x)
    other = model(x)
    torch.manual_seed(5)
    assert torch.equal(model(x), first)
    assert not torch.allclose(other, first)


def test_evaluation_sees_all_patches(model):
    x = clips(2)
    logits, layers = model.eval()(x), model.layers(x)
    model.patchout = 0.5
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert torch.equal(model(x), logits)
    assert all(torch.equal(tokens, layers[name]) for name, tokens in model.train().layers(x).items())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_it_training_computes_as_evaluation_and_draws_nothing(model):
    x = clips(2)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert torch.equal(model.train()(x), model.eval()(x))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_all_weights_learn_from_what_is_kept(model):
    model.patchout = 0.75
    model.train()(clips(2)).square().sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []
