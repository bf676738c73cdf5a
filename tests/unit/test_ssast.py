"""The network: shapes, order, initial weights, counts. `tests/golden/test_forward.py` compares with the original."""

import math

import pytest
import torch

from tymbal.config.models import Ssast
from tymbal.models.flops import forward_flops
from tymbal.models.ssast import SIZES, SSAST, grid


def network(**settings) -> Ssast:
    return Ssast(arch="ssast", **{"n_frames": 64, **settings})


def build(net: Ssast, n_mels: int = 32, n_classes: int = 3, seed: int = 0) -> SSAST:
    return SSAST(net, n_mels, n_classes, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("patch", "stride", "expected"),
    [
        ((16, 16), (16, 16), {1024: (8, 64), 512: (8, 32), 128: (8, 8), 100: (8, 6)}),
        ((16, 16), (10, 10), {1024: (12, 101), 512: (12, 50), 128: (12, 12), 100: (12, 9)}),
        ((128, 2), (128, 1), {1024: (1, 1023), 128: (1, 127)}),
        ((16, 8), (8, 4), {64: (15, 15)}),
    ],
)
def test_grid_and_tokens(patch, stride, expected):
    for n_frames, shape in expected.items():
        net = network(patch=patch, stride=stride, n_frames=n_frames)
        assert grid(patch, stride, (n_frames, 128)) == shape
    model = build(net, 128)
    assert model.patch_embed(torch.zeros(1, n_frames, 128)).shape == (1, math.prod(shape), 192)
    assert model.pos_embed.shape == (1, 2 + math.prod(shape), 192)


def test_tokens_are_ordered_by_mel_rows_first():
    net = network()
    embed = build(net).patch_embed  # a grid of 2 rows and 4 columns
    x = torch.zeros(1, 64, 32)
    x[0, 32:48, 16:] = 1  # frames of column 2, mel bins of row 1
    changed = (embed(x) != embed(torch.zeros_like(x))).any(dim=-1)[0]
    assert changed.nonzero().flatten().tolist() == [1 * 4 + 2]


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [-0.5484772165809518, 0.15511000692993265, 0.23598018714117858]),
        ("cls", [-0.5423245632870488, 0.14935933041131555, 0.24122341930102154]),
    ],
)
def test_logits_of_made_up_weights(pooling, expected):
    """Pinned when the model agreed with the original on all reference vectors."""
    model = build(network(stride=(10, 10), pooling=pooling)).double().eval()
    with torch.no_grad():
        for i, (name, parameter) in enumerate(model.named_parameters()):
            values = torch.sin(torch.arange(parameter.numel(), dtype=torch.float64) * (1.3 + 0.01 * i) + i)
            scale = 1.5 / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.3
            norm_scale = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(values.view_as(parameter) * scale + norm_scale)
        x = torch.cos(torch.arange(2 * 64 * 32, dtype=torch.float64) ** 1.1).view(2, 64, 32)
        logits = model(x)
    assert logits.shape == (2, 3)
    assert logits[1].tolist() == pytest.approx(expected, rel=1e-9)


def test_another_input_size_is_refused():
    with pytest.raises(AssertionError, match="expected"):
        build(network())(torch.zeros(1, 80, 32))


def test_weights_come_from_the_generator_alone():
    net = network()
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = build(net), build(net), build(net, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.unique().numel() == 1 or not torch.equal(a, c), name


def test_initial_weights_are_distributed_as_in_the_original():
    model = build(network(), n_classes=500)
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        if name.startswith(("patch_embed.", "head.1.")):
            bound = 1 / 16 if name.startswith("patch_embed.") else 192**-0.5
            assert 0.95 * bound < values.abs().max() <= bound, name
            assert values.mean().abs() < 0.1 * bound, name
        elif parameter.ndim > 1:
            assert values.std().item() == pytest.approx(0.02, rel=0.15), name
            assert values.mean().abs() < 0.004, name
        else:
            assert (values == float(name.endswith("weight"))).all(), name  # norms scale by 1; biases are 0


def test_norms_use_the_epsilons_of_the_original():
    model = build(network())
    epsilons = {name: module.eps for name, module in model.named_modules() if isinstance(module, torch.nn.LayerNorm)}
    assert len(epsilons) == 2 * 12 + 2
    assert epsilons.pop("head.0") == 1e-5
    assert set(epsilons.values()) == {1e-6}


@pytest.mark.parametrize(
    ("net", "n_classes", "original", "total", "tokens"),
    [
        (network(size="tiny", n_frames=1024), 12, 5_875_868, 5_489_868, 514),
        (network(size="tiny", n_frames=512, stride=(10, 10)), 50, 5_900_098, 5_514_098, 602),
        (network(size="small", n_frames=1024), 12, 22_366_556, 21_596_556, 514),
        (network(size="base", n_frames=1024), 12, 87_198_428, 85_660_428, 514),
        (network(size="base", n_frames=512, stride=(10, 10)), 50, 87_295_234, 85_757_234, 602),
        (network(size="base", n_frames=128, patch=(128, 2), stride=(128, 1)), 35, 86_920_435, 85_382_435, 129),
        (network(size="base-nokd", n_frames=1024), 12, 86_427_892, 85_658_892, 513),
    ],
)
def test_parameter_counts_of_the_original(net, n_classes, original, total, tokens):
    model = build(net, 128, n_classes)
    counts = model.parameter_counts()
    assert (counts["total"], counts["original"], counts["trained"]) == (total, original, total)
    assert f"{total:,}" in counts["note"]
    assert f"{original:,}" in counts["note"]
    assert model.pos_embed.shape[1] == tokens


def test_every_parameter_is_used():
    for pooling in ("mean", "cls"):
        model = build(network(pooling=pooling))
        model(torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(0))).square().sum().backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_layers_for_the_learning_rate():
    model = build(network())
    above = {name: model.layers_above(name) for name, _ in model.named_parameters()}
    assert set(above.values()) == set(range(14))
    assert {name for name, n in above.items() if n == 13} == {
        *("cls_token", "dist_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")
    }
    assert above["blocks.0.norm1.weight"] == 12
    assert above["blocks.11.mlp.fc2.bias"] == 1
    assert {name.split(".")[0] for name, n in above.items() if n == 0} == {"norm", "head"}
    with pytest.raises(AssertionError, match="mask_token"):
        model.layers_above("mask_token")


@pytest.mark.parametrize("size", ["tiny", "base-nokd"])
def test_flops_are_those_of_the_matrix_products(size, monkeypatch):
    monkeypatch.setitem(SIZES, size, SIZES[size]._replace(depth=2))
    dim, depth, _, class_tokens = SIZES[size]
    model = build(network(size=size, stride=(10, 12)))
    n_patches = math.prod(model.grid)
    n = n_patches + class_tokens
    block = n * dim * (3 * dim + dim + 2 * 4 * dim) + 2 * n * n * dim
    expected = 2 * (n_patches * dim * 16 * 16 + depth * block + dim * 3)
    assert forward_flops(model, torch.zeros(1, 64, 32)) == expected
