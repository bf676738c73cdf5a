"""The network of EAT and SSLAM. `tests/golden/test_sslam_model.py` compares it with the original."""

import math

import pytest
import torch
import torch.nn.functional as F

from tymbal.config.models import Sslam
from tymbal.models.sslam import SIZES, SSLAM, SslamBackbone, linear_softmax, sincos_positions
from tymbal.models.vit import DropPath, PostNormBlock

DEPTH = 3


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A few blocks are enough."""
    monkeypatch.setitem(SIZES, "tiny", SIZES["tiny"]._replace(depth=DEPTH))


def network(**settings) -> Sslam:
    return Sslam(arch="sslam", **{"size": "tiny", "n_frames": 64, "drop_path": 0.0, **settings})


def build(net: Sslam | None = None, n_mels: int = 32, n_classes: int = 3, seed: int = 0) -> SSLAM:
    return SSLAM(net or network(), n_mels, n_classes, torch.Generator().manual_seed(seed))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("patch", "n_frames", "n_mels", "grid"),
    [
        ((16, 16), 1024, 128, (8, 64)),
        ((16, 16), 100, 64, (4, 6)),
        ((16, 16), 100, 70, (4, 6)),
        ((128, 2), 101, 128, (1, 50)),
        ((8, 4), 30, 40, (5, 7)),
    ],
)
def test_any_length_mel_bins_and_patch(patch, n_frames, n_mels, grid):
    """A patch that would be incomplete is left out: its values do not matter."""
    model = build(network(patch=patch, n_frames=n_frames), n_mels).eval()
    n = math.prod(grid)
    assert model.grid == grid and model.positions.shape == (n, 192)
    x = noise(2, n_frames, n_mels)
    cut = x.clone()
    cut[:, grid[1] * patch[1] :] = 9
    cut[:, :, grid[0] * patch[0] :] = 9
    assert model.embed_patches(x).shape == (2, n, 192)
    assert torch.equal(model(x), model(cut))


def test_tokens_are_ordered_by_time_first():
    model = build()  # a grid of 2 rows and 4 columns
    x, nothing = torch.zeros(1, 64, 32), torch.zeros(1, 64, 32)
    x[0, 32:48, 16:] = 1  # frames of column 2, mel bins of row 1
    changed = (model.embed_patches(x) != model.embed_patches(nothing)).any(dim=-1)[0]
    assert changed.nonzero().flatten().tolist() == [2 * 2 + 1]


def test_a_patch_is_projected_as_it_lies_in_the_spectrogram():
    model, x = build(network(patch=(8, 4))), noise(1, 64, 32)
    patch = x[0, 4:8, 16:24]  # column 1, row 2 of 4: frames, then mel bins
    kernel, bias = model.patch_embed.proj.weight, model.patch_embed.proj.bias
    expected = torch.stack([(kernel[d, 0] * patch).sum() + bias[d] for d in range(192)])
    torch.testing.assert_close(model.patch_embed(x)[0, 1 * 4 + 2], expected, rtol=1e-4, atol=1e-5)


def test_positions_one_by_one():
    f_dim, t_dim, dim = 3, 5, 24
    table = sincos_positions(dim, (f_dim, t_dim))
    for t in range(t_dim):
        for f in range(f_dim):
            for i in range(dim // 4):
                omega = 10000 ** (-i / (dim // 4))
                expected = [math.sin(f * omega), math.cos(f * omega), math.sin(t * omega), math.cos(t * omega)]
                assert table[t * f_dim + f, i :: dim // 4].tolist() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(sincos_positions(dim, (f_dim, 9))[: len(table)], table)


def test_positions_are_computed_and_not_kept_in_files():
    model = build()
    assert torch.equal(model.positions, sincos_positions(192, (2, 4)))
    assert "positions" not in model.state_dict()
    with torch.device("meta"):
        encoder = SslamBackbone("tiny", (16, 16), (64, 32))
    encoder.allocate()
    assert torch.equal(encoder.positions, model.positions)
    encoder.load_state_dict({name: value for name, value in model.state_dict().items() if "head" not in name})
    x = noise(1, 64, 32)
    assert torch.equal(encoder.eval().layers(x)[str(DEPTH)], model.eval().layers(x)[str(DEPTH)])


def test_a_block_one_step_at_a_time():
    block, x, visible = PostNormBlock(24, 3, 1e-6), noise(2, 5, 24), torch.ones(2, 5, dtype=torch.bool)
    visible[1, 3:] = False
    tokens, made = block(x, visible)
    for clip in range(2):
        kept = visible[clip]
        q, k, v = block.attn.qkv(x[clip]).chunk(3, dim=1)
        heads = []
        for part in (slice(0, 8), slice(8, 16), slice(16, 24)):
            weights = (q[:, part] @ k[kept, part].T / math.sqrt(8)).softmax(dim=1)
            heads.append(weights @ v[kept, part])
        middle = F.layer_norm(
            x[clip] + block.attn.proj(torch.cat(heads, dim=1)), (24,), block.norm1.weight, block.norm1.bias, 1e-6
        )
        inner = block.mlp.fc1(middle)
        h = block.mlp.fc2(inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2))))
        torch.testing.assert_close(made[clip], h)
        torch.testing.assert_close(
            tokens[clip], F.layer_norm(middle + h, (24,), block.norm2.weight, block.norm2.bias, 1e-6)
        )


@torch.no_grad()
def test_what_is_hidden_does_not_exist_for_the_others():
    model = build().eval()
    patches = noise(2, 8, 192)
    visible = torch.ones(2, 8, dtype=torch.bool)
    visible[1, 5:] = False
    tokens, mlp = model.encode(patches, visible, want_mlp=True)
    alone, alone_mlp = model.encode(patches[1:, :5], want_mlp=True)
    torch.testing.assert_close(tokens[1:, :6], alone)
    for a, b in zip(mlp, alone_mlp, strict=True):
        torch.testing.assert_close(a[1:, :6], b)
    torch.testing.assert_close(tokens[:1], model.encode(patches[:1])[0])
    assert not torch.allclose(tokens[1, 0], model.encode(patches)[0][1, 0], atol=1e-3)


@torch.no_grad()
def test_mlp_outputs_only_if_wanted():
    model, patches = build().eval(), noise(1, 8, 192)
    made = []
    for block in model.blocks:
        block.mlp.register_forward_hook(lambda module, inputs, output: made.append(output))
    tokens, mlp = model.encode(patches, want_mlp=True)
    assert len(mlp) == DEPTH and all(torch.equal(a, b) for a, b in zip(mlp, made, strict=True))
    plain, nothing = model.encode(patches)
    assert torch.equal(plain, tokens) and nothing == []


@torch.no_grad()
def test_layers_and_sounding_patches():
    model, x = build().eval(), noise(2, 64, 32)
    layers = model.layers(x)
    assert list(layers) == [str(i) for i in range(DEPTH + 1)]
    assert torch.equal(layers["0"], model.embed_patches(x))
    assert torch.equal(layers[str(DEPTH)], model.encode(layers["0"])[0][:, 1:])
    sounding = model.sounding(torch.tensor([64, 47, 16, 3]))  # 2 rows, 4 columns of 16 frames
    assert sounding.tolist() == [[i < n for i in range(8)] for n in (8, 4, 2, 2)]


@torch.no_grad()
def test_a_clip_gets_the_same_logits_alone_and_in_a_batch():
    for pooling in ("cls", "mean", "linear-softmax"):
        model, x = build(network(pooling=pooling, drop_path=0.5)).eval(), noise(5, 64, 32)
        together = model(x)
        torch.testing.assert_close(torch.cat([model(x[i : i + 1]) for i in range(5)]), together)
        assert together.std(dim=0).min() > 1e-3  # else the test would show nothing


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("cls", [0.23036060830016059, -0.16995177648662432, -0.6484607520525848]),
        ("mean", [0.4545850220791281, 0.12340357703341548, -0.3168075949845458]),
        ("linear-softmax", [0.4590165095180415, 0.12830859316100363, -0.3119445922522315]),
    ],
)
@torch.no_grad()
def test_logits_of_made_up_weights(pooling, expected):
    """Pinned when the model agreed with the original on all reference vectors."""
    model = build(network(pooling=pooling)).double().eval()
    for i, (name, parameter) in enumerate(sorted(model.named_parameters())):
        values = torch.sin(torch.arange(parameter.numel(), dtype=torch.float64) * (1.3 + 0.01 * i) + i)
        scale = 1.5 / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.3
        norm_scale = parameter.ndim == 1 and name.endswith("weight")
        parameter.copy_(values.view_as(parameter) * scale + norm_scale)
    x = torch.cos(torch.arange(2 * 64 * 32, dtype=torch.float64) ** 1.1).view(2, 64, 32)
    logits = model(x)
    assert logits.shape == (2, 3)
    assert logits[1].tolist() == pytest.approx(expected, rel=1e-5)


def test_linear_softmax_weights_probabilities_with_themselves():
    tokens = noise(2, 6, 4)
    p = tokens.sigmoid()
    expected = (p.square().sum(dim=1) / p.sum(dim=1)).logit()
    torch.testing.assert_close(linear_softmax(tokens), expected, rtol=1e-4, atol=1e-4)


def test_linear_softmax_of_certain_tokens():
    """The logit of a probability of 1, or 0, is not finite."""
    tokens = torch.full((1, 512, 3), 30.0)
    tokens[..., 1] = -200.0
    tokens[..., 2] = 0.0
    tokens.requires_grad_()
    pooled = linear_softmax(tokens)
    assert pooled[0, 0].item() == pytest.approx(13.8, abs=0.1)
    assert pooled[0, 1].item() == pytest.approx(-200, abs=0.1)
    assert pooled[0, 2].item() == pytest.approx(0, abs=1e-4)
    pooled.sum().backward()
    assert tokens.grad.isfinite().all()


def test_another_input_size_is_refused():
    with pytest.raises(AssertionError, match="expected"):
        build()(torch.zeros(1, 80, 32))


# --- stochastic depth -------------------------------------------------------------------------------------


def test_drop_path_drops_whole_clips_and_keeps_the_mean():
    drop, x = DropPath(0.3).train(), noise(20_000, 1, 4)
    torch.manual_seed(0)
    y = drop(x)
    dropped = (y == 0).all(dim=(1, 2))
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / len(x)))
    torch.testing.assert_close(y[~dropped], x[~dropped] / 0.7)
    assert drop.eval()(x) is x


def test_stochastic_depth_rises_linearly_and_is_off_in_evaluation():
    rates = [block.drop_path.rate for block in build(network(drop_path=0.3)).blocks]
    assert rates == pytest.approx([0, 0.15, 0.3])
    model, x = build(network(drop_path=0.9)), noise(16, 64, 32)
    torch.manual_seed(0)
    first, other = model(x), model(x)
    torch.manual_seed(0)
    assert torch.equal(model(x), first)  # from torch's global generator, and from nothing else
    assert not torch.allclose(first, other)
    model.eval()
    evaluated = model(x)
    assert torch.equal(model(x), evaluated)
    assert torch.equal(build().eval()(x), evaluated)
    assert torch.equal(build().train()(x), evaluated)


def test_both_branches_of_a_block_are_dropped():
    block, x = PostNormBlock(24, 3, 1e-6, drop_path=0.5).train(), noise(1, 5, 24).expand(64, -1, -1)
    torch.manual_seed(0)
    tokens, made = block(x)
    assert len(tokens.detach().unique(dim=0)) == 4  # neither, one, the other, both
    assert len(made.detach().unique(dim=0)) == 2  # without attention and with it; made before it may be dropped


def test_a_frozen_encoder_computes_as_in_evaluation():
    model, x = build(network(drop_path=0.9)), noise(8, 64, 32)
    expected = model.eval()(x)
    model.freeze_encoder()
    assert torch.equal(model.train()(x), expected)
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"head"}


# --- training ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["cls", "mean", "linear-softmax"])
def test_every_parameter_is_used(pooling):
    model = build(network(pooling=pooling))
    model(noise(2, 64, 32)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_activation_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        model = build(network(drop_path=0.5))
        model.activation_checkpointing = checkpointing
        torch.manual_seed(0)
        tokens, mlp = model.encode(model.embed_patches(noise(4, 64, 32)), want_mlp=True)
        (tokens.square().sum() + sum(made.sum() for made in mlp)).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@torch.no_grad()
def test_half_precision_is_close():
    for pooling in ("cls", "mean", "linear-softmax"):
        model, x = build(network(pooling=pooling)).eval(), noise(2, 64, 32)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(x)
        torch.testing.assert_close(half.float(), model(x), rtol=0.05, atol=0.02)


def test_layers_for_the_learning_rate():
    model = build()
    above = {name: model.layers_above(name) for name, _ in model.named_parameters()}
    assert above["blocks.0.attn.qkv.weight"] == DEPTH
    assert above[f"blocks.{DEPTH - 1}.norm2.bias"] == 1
    assert {name.split(".")[0] for name, n in above.items() if n == 0} == {"cls_token", "patch_embed", "norm", "head"}
    with pytest.raises(AssertionError, match="dist_token"):
        model.layers_above("dist_token")


# --- initial weights --------------------------------------------------------------------------------------


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = build(), build(), build(seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.unique().numel() == 1 or not torch.equal(a, c), name


def test_initial_weights_are_distributed_as_in_the_original():
    for name, parameter in build(n_classes=500).named_parameters():
        values = parameter.detach()
        if name.startswith("patch_embed."):
            bound = math.sqrt(6 / (192 + 256)) if name.endswith("weight") else 1 / 16
            assert 0.95 * bound < values.abs().max() <= bound, name
            assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1), name
        elif parameter.ndim > 1:
            assert values.std().item() == pytest.approx(1 if name == "cls_token" else 0.02, rel=0.15), name
        else:
            assert (values == float(name.endswith("weight"))).all(), name  # norms scale by 1; biases are 0


def test_norms_use_the_epsilon_of_the_original():
    epsilons = [module.eps for module in build().modules() if isinstance(module, torch.nn.LayerNorm)]
    assert epsilons == [1e-6] * (2 * DEPTH + 2)


def test_parameter_counts_of_the_original():
    model = build(network(size="base", n_frames=1024), 128, 527)
    head = sum(parameter.numel() for parameter in model.head.parameters())
    counts = model.parameter_counts()
    assert head == 406_799
    assert counts["total"] - head == 85_254_144
    assert counts["trained"] == counts["total"]
    assert model.cls_token.shape[-1] * 8 * 768 == 89_972_736 - 85_254_144  # fixed positions, which the original counts
