"""Logits, positions and activations of the original implementation, from its pre-training checkpoints to our model."""

import json
import re

import numpy as np
import pytest
import torch

from helpers import SHARED, golden_file, golden_inputs, needs_shared
from tymbal.config.models import Frontend, Ssast
from tymbal.models.sources import load_start
from tymbal.models.ssast import SSAST
from tymbal.spectrogram import FeatureState

pytestmark = needs_shared

LOGITS = 5e-5  # fp32 against the original in float64
POSITIONS = 1e-6
ACTIVATIONS = 1e-4  # fp32 against fp32; the values reach 20

CASES = {
    "tiny_patch": [
        *(f"f{stride}_t{stride}_L{frames}" for stride in (16, 10) for frames in (1024, 512, 100, 1200)),
        "f16_t16_L512_F112",
    ],
    "tiny_frame": [f"f128_t{stride}_L{frames}" for stride in (2, 1) for frames in (1024, 512, 128, 1200)],
    "base_patch": ["f16_t16_L1024", "f10_t10_L512"],
    "base_nokd_patch": ["f16_t16_L512"],
    "tiny_64mel": ["f10_t10_L512_F64"],
}


def settings(name: str, case: str) -> tuple[Ssast, int]:
    """The network a case describes, and its mel bins."""
    f_stride, t_stride, n_frames, n_mels = re.fullmatch(r"f(\d+)_t(\d+)_L(\d+)(?:_F(\d+))?", case).groups()
    net = Ssast(
        arch="ssast",
        size={"tiny": "tiny", "base": "base", "base_nokd": "base-nokd"}[name.rsplit("_", 1)[0]],
        patch=(128, 2) if name.endswith("frame") else (16, 16),
        stride=(int(f_stride), int(t_stride)),
        n_frames=int(n_frames),
    )
    return net, int(n_mels or 128)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Writes the pre-training checkpoint behind a file of reference vectors; large ones do not outlive the module."""
    inputs = golden_inputs()
    layouts = json.loads((SHARED / "golden" / "ssast" / "state_keys.json").read_text())
    folder = tmp_path_factory.mktemp("pretrained")

    def write(name: str):
        path = folder / f"{name}.pth"
        if path.exists():
            return path
        n_mels = 64 if name == "tiny_64mel" else 128
        size = name.rsplit("_", 1)[0]
        shapes = layouts[f"pretrain_{size}_{'frame128x2' if name.endswith('frame') else 'patch16x16'}"]["keys"]
        state = {"module.p_input_fdim": torch.tensor(n_mels), "module.p_input_tdim": torch.tensor(1024)}
        for key, shape in shapes.items():
            if key in state:
                continue
            blocks = range(12) if ".blocks.0." in key else [0]
            if key.endswith("pos_embed"):
                n_patches = n_mels * 1024 // 256
                shape = [1, n_patches + (1 if size == "base_nokd" else 2), shape[2]]
            for i in blocks:
                name_i = key.replace(".blocks.0.", f".blocks.{i}.")
                state[name_i] = torch.from_numpy(inputs.fill(name_i, shape))
        torch.save(state, path)
        return path

    yield write
    for path in folder.iterdir():
        path.unlink()


def loaded(name: str, case: str, n_classes: int, path) -> SSAST:
    """Our model of a case with the checkpoint's backbone and the reference head."""
    net, n_mels = settings(name, case)
    model = SSAST(net, n_mels, n_classes, torch.Generator()).eval()
    load_start(path, model, net, FeatureState.of(Frontend(n_mels=n_mels)))
    with torch.no_grad():
        for key, parameter in model.head.named_parameters():
            parameter.copy_(torch.from_numpy(golden_inputs().fill(f"mlp_head.{key}", parameter.shape)))
    return model


def activations(model: SSAST, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and what flows at the places the reference vectors trace."""
    trace = {}

    def keep(name):
        return lambda module, inputs, output: trace.setdefault(name, output)

    hooks = [
        model.patch_embed.register_forward_hook(keep("patch")),
        model.blocks[0].register_forward_pre_hook(lambda module, inputs: trace.setdefault("tokens", inputs[0])),
        *(model.blocks[i].register_forward_hook(keep(f"block{i}")) for i in (0, 5, 11)),
        model.norm.register_forward_hook(keep("norm")),
    ]
    with torch.no_grad():
        logits = model(x)
    for hook in hooks:
        hook.remove()
    return logits, trace


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases])
def test_forward_is_the_originals(name, case, checkpoint):
    golden = golden_file("ssast", f"forward_{name}.npz")
    model = loaded(name, case, int(golden["n_classes"]), checkpoint(name))

    positions = model.pos_embed.detach().numpy()
    assert positions.shape == tuple(golden[f"{case}_pos_shape"])
    np.testing.assert_allclose(positions[0, :, 0], golden[f"{case}_pos_dim0"], rtol=0, atol=POSITIONS)
    np.testing.assert_allclose(positions[0, model.class_tokens + 7], golden[f"{case}_pos_tok7"], rtol=0, atol=POSITIONS)
    sums = positions[0].astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(sums, golden[f"{case}_pos_sum_d"], rtol=0, atol=POSITIONS * positions.shape[2])

    traced = f"{case}_trace_patch" in golden
    n_clips = 2 if traced else 1  # one clip, of the two that most vectors hold, keeps this quick
    x = torch.from_numpy(golden_inputs().spectrogram(2, *model.input_shape))[:n_clips]
    logits, trace = activations(model, x)
    np.testing.assert_allclose(logits.numpy(), golden[f"{case}_avg64"][:n_clips], rtol=0, atol=LOGITS)
    model.pooling = "cls"
    with torch.no_grad():
        np.testing.assert_allclose(model(x[:1]).numpy(), golden[f"{case}_cls64"][:1], rtol=0, atol=LOGITS)

    for key in trace if traced else ():
        found = trace[key].numpy()
        np.testing.assert_allclose(found[:, ::37, ::16], golden[f"{case}_trace_{key}"], rtol=0, atol=ACTIVATIONS)
        np.testing.assert_allclose(np.abs(found).mean(axis=(1, 2)), golden[f"{case}_trace_{key}_abs"], rtol=1e-5)


def test_positions_of_64_mel_bins_are_not_blurred_as_in_the_original(checkpoint):
    """A deviation on purpose: of 4 rows, the original mixes each with its neighbours even where nothing changes."""
    path, case = checkpoint("tiny_64mel"), "f16_t16_L1024_F64"
    golden = golden_file("ssast", "forward_tiny_64mel.npz")
    ours = loaded("tiny_64mel", case, 4, path).pos_embed.detach()[0, :, 0].numpy()
    assert np.array_equal(ours, torch.load(path, weights_only=True)["module.v.pos_embed"][0, :, 0].numpy())
    rows = ours[2:].reshape(4, 64)
    above, below = np.vstack([rows[:1], rows[:-1]]), np.vstack([rows[1:], rows[-1:]])
    blurred = rows * 3 / 4 + above / 8 + below / 8
    np.testing.assert_allclose(blurred.ravel(), golden[f"{case}_pos_dim0"][2:], rtol=0, atol=POSITIONS)
