"""What an encoder fills in for the report: in the right place, from the right head, in the unit of the features."""

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import write_store
from small_pretraining import pretraining
from tymbal.config.models import SsastEncoder
from tymbal.models.encoder_card import EncoderCard
from tymbal.models.ssast import SIZES, Size
from tymbal.models.weights import save_weights
from tymbal.pretrain.examples import N_EXAMPLES, pick_reconstructions
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.store import FeatureStore
from tymbal.tables import write_csv

ROWS, COLUMNS = 32, 16  # of a patch: mel bins, frames
NET = SsastEncoder(arch="ssast", size="tiny", patch=(ROWS, COLUMNS), n_frames=64)
MEAN, STD = -8.0, 2.5
VAL = {"a": {"long": 90, "whole": 64, "tiny": 15}, "b": {"part": 39}}  # frames
TRAIN = {"a": {"other": 64}, "b": {"more": 64}}


@pytest.fixture(autouse=True)
def _small_sizes(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", Size(8, 1, 2, 2))


@pytest.fixture
def store(tmp_path):
    """Clips of two data sets, of which some are held out."""
    rng = np.random.default_rng(0)
    folders = {}
    for name in VAL:
        clips = {clip: rng.normal(-8, 3, (n, 128)) for clip, n in {**VAL[name], **TRAIN[name]}.items()}
        folders[name] = write_store(tmp_path / name, clips)
    return FeatureStore.joined(folders)


def pick(tmp_path, store, objective, change, **masking) -> dict[str, np.ndarray]:
    """The arrays from an encoder whose weights `change` has set."""
    rows = [(name, clip, part) for part, of in (("val", VAL), ("train", TRAIN)) for name in of for clip in of[name]]
    clips = pd.DataFrame(rows, columns=["dataset", "clip_id", "part"]).sort_values(["dataset", "clip_id"])
    write_csv(clips, tmp_path / "clips.csv")
    settings = pretraining(NET, objective=objective, masking=masking)
    model = MaskedPatchModel(settings, 128, torch.Generator().manual_seed(0))
    with torch.no_grad():
        change(model)
    card = EncoderCard(NET.model_dump(mode="json"), 128, MEAN, STD, store.state.to_json(), {}, {})
    save_weights(tmp_path / "encoder.safetensors", tmp_path / "encoder.json", model, card)
    encoder, out = tmp_path / "encoder.safetensors", tmp_path / "out.npz"
    pick_reconstructions(encoder, tmp_path / "clips.csv", store, settings, 0, out)
    with np.load(out) as file:
        return dict(file)


def patches(picture: np.ndarray) -> np.ndarray:
    """[T, F] cut into [n, ROWS, COLUMNS], mel bins up and frames to the right."""
    f_dim, t_dim = picture.shape[1] // ROWS, picture.shape[0] // COLUMNS
    cells = [
        picture[t * COLUMNS : (t + 1) * COLUMNS, f * ROWS : (f + 1) * ROWS].T
        for f in range(f_dim)
        for t in range(t_dim)
    ]
    return np.array(cells)


def always(layer, values):
    """Make a prediction head say the same of every place."""
    layer[2].weight.zero_()
    layer[2].bias.copy_(values)


@pytest.mark.parametrize("sampling", ["even", "original"])
def test_held_out_clips_are_shown_as_they_are_but_for_whole_patches(tmp_path, store, sampling):
    found = pick(tmp_path, store, "joint", lambda model: None, n_masked=10, sampling=sampling)
    assert found["clip_id"].tolist() == ["a:long", "a:whole", "b:part"]  # not the one without a whole patch in time
    assert found["n_frames"].tolist() == [64, 64, 39]
    assert found["frame_shift_s"] == 0.01
    for clip, n, fbank, masked, filled in zip(
        *(found[name] for name in ("clip_id", "n_frames", "fbank", "masked", "filled")), strict=True
    ):
        np.testing.assert_allclose(fbank[:n], store.frames(clip)[:n], atol=0.02)
        np.testing.assert_array_equal(filled[~masked], fbank[~masked])
        cells = patches(masked[:n])
        whole = cells.all(axis=(1, 2))
        np.testing.assert_array_equal(cells.any(axis=(1, 2)), whole)
        assert 0 < whole.sum() < len(whole)
        assert masked.sum() == whole.sum() * ROWS * COLUMNS  # none in what is left of a patch, none in the padding
    assert [patches(each).all(axis=(1, 2)).sum() for each in found["masked"][:2]] == [10, 10]


@pytest.mark.parametrize("objective", ["joint", "generative"])
def test_the_generative_head_fills_in(tmp_path, store, objective):
    said = torch.linspace(-1, 1, ROWS * COLUMNS)
    found = pick(tmp_path, store, objective, lambda model: always(model.gpredlayer, said))
    expected = MEAN + 2 * STD * said.numpy().reshape(ROWS, COLUMNS)
    for masked, filled in zip(found["masked"], found["filled"], strict=True):
        hidden = patches(masked).all(axis=(1, 2))
        for cell in patches(filled)[hidden]:
            np.testing.assert_allclose(cell, expected, atol=0.02)


def test_without_it_the_masked_patch_that_is_ranked_first_stands_there(tmp_path, store):
    found = pick(tmp_path, store, "discriminative", lambda model: always(model.cpredlayer, torch.tensor(1.0)))
    for fbank, masked, filled in zip(found["fbank"], found["masked"], found["filled"], strict=True):
        hidden = patches(masked).all(axis=(1, 2))
        candidates = patches(fbank)[hidden].astype(np.float32)
        loudest = candidates[candidates.sum(axis=(1, 2)).argmax()]
        for cell in patches(filled)[hidden]:
            np.testing.assert_array_equal(cell, loudest)


def test_of_many_clips_a_few_are_spread_over_the_list(tmp_path, store, monkeypatch):
    monkeypatch.setitem(VAL, "a", {f"c{i:02d}": 64 for i in range(19)})
    clips = {name: np.random.default_rng(i).normal(-8, 3, (64, 128)) for i, name in enumerate([*VAL["a"], "other"])}
    many = FeatureStore.joined({"a": write_store(tmp_path / "many", clips), "b": tmp_path / "b"})
    found = pick(tmp_path, many, "joint", lambda model: None)
    assert found["clip_id"].tolist() == ["a:c00", "a:c05", "a:c10", "a:c14", "b:part"]
    assert len(found["clip_id"]) == N_EXAMPLES
