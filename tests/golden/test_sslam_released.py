"""Files in the layouts that EAT and SSLAM released: all their keys are known, and they give the original's features."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers import golden_file, needs_shared
from small_pretraining import pretraining
from sslam_golden import STUDENT, original_name, spectrogram, value
from tymbal.config.models import Frontend, Sslam, SslamEncoder
from tymbal.models.build import build
from tymbal.models.sources import load_start
from tymbal.models.sslam import sincos_positions
from tymbal.models.sslam_start import FINETUNED, PRETRAINED
from tymbal.pretrain.sslam import MaskedLatentModel
from tymbal.spectrogram import FeatureState

pytestmark = needs_shared

FEATURES = 1e-4  # relative to the largest value
NET = Sslam(arch="sslam", size="base", n_frames=128)
STATE = FeatureState.of(Frontend())


def layout(name: str) -> dict[str, tuple[int, ...]]:
    """Shapes by key."""
    stored = golden_file("sslam", "layout.npz")
    shapes = [tuple(map(int, shape.split(","))) for shape in stored[f"{name}_shapes"]]
    return dict(zip(map(str, stored[f"{name}_keys"]), shapes, strict=True))


def zeros(name: str) -> dict[str, torch.Tensor]:
    """Tensors of a layout that take no memory, with the positions that it should have."""
    table = sincos_positions(768, (8, 768)).half()[None]
    state = {key: torch.zeros(1, dtype=torch.half).expand(shape) for key, shape in layout(name).items()}
    return {key: table if key.endswith("positions") else tensor for key, tensor in state.items()}


def classifier():
    return build(NET, 128, 3, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["finetuned", "hf_pretrain", "hf_finetuned"])
def test_every_key_of_a_released_file_is_known(tmp_path, name):
    if name == "finetuned":
        path = tmp_path / "checkpoint_best.pt"
        torch.save({"model": zeros(name)}, path)
    else:
        path = tmp_path / "model.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in zeros(name).items()}, path)
    model = classifier()
    report = load_start(path, model, NET, STATE)
    path.unlink()
    assert report.kind == (PRETRAINED if name == "hf_pretrain" else FINETUNED)
    assert not any(tensor.any() for key, tensor in model.state_dict().items() if not key.startswith("head."))


def test_every_key_of_a_pretraining_is_known_and_taken(tmp_path):
    path = tmp_path / "checkpoint_last.pt"
    torch.save({"model": zeros("pretrain") | {"_ema": zeros("pretrain_ema")}}, path)
    net = SslamEncoder(arch="sslam", size="base", n_frames=128)
    model = MaskedLatentModel(pretraining(net), 128, torch.Generator().manual_seed(0))
    report = load_start(path, model, net, STATE)
    assert (report.kind, report.fresh, len(report.left_out)) == (PRETRAINED, (), 2)  # the two tables of positions
    assert not any(tensor.any() for tensor in model.state_dict().values())


@torch.inference_mode()
def test_a_file_of_fairseq_gives_the_originals_features(tmp_path):
    path = tmp_path / "checkpoint_last.pt"
    shapes = {key: shape for key, shape in layout("pretrain").items() if not key.endswith("positions")}
    torch.save({"model": {key: torch.from_numpy(value(key, shape, STUDENT)) for key, shape in shapes.items()}}, path)
    model = classifier().eval()
    load_start(path, model, NET, STATE)
    path.unlink()
    assert {original_name(key) for key in model.state_dict() if not key.startswith("head.")} <= shapes.keys()
    tokens, _ = model.encode(model.embed_patches(spectrogram(1, 128)))
    stored = golden_file("sslam", "features.npz")
    for key, found in (("cls_T128", tokens[:, 0]), ("patchmean_T128", tokens[:, 1:].mean(dim=1))):
        assert np.abs(found.numpy() - stored[key]).max() < FEATURES * np.abs(stored[key]).max(), key
