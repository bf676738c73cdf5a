"""Padding that is ignored: a clip's scores do not depend on how far it is filled up, nor on what with."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import small_training
from helpers import write_store
from small_prediction import CPU, SSAST, SSLAM, recording, small_model
from tymbal.config.models import Augment, BatchMixup, Ssast, Sslam
from tymbal.config.predict import Predict
from tymbal.errors import InputError
from tymbal.export.hugging_face import export_hugging_face
from tymbal.export.onnx import export_onnx
from tymbal.inference import predict, scores
from tymbal.models import ssast, sslam
from tymbal.models.build import build
from tymbal.models.classifier import Classifier
from tymbal.models.encoder import keep_some
from tymbal.norm import Scale
from tymbal.predict.kept import Scores
from tymbal.predict.model import Predictor
from tymbal.predict.shard import predict_part
from tymbal.store import FeatureStore
from tymbal.train.augment import augment
from tymbal.train.data import Batch, ClipSet, of_like_length
from tymbal.train.distributed import Share

LENGTHS = (96, 70, 45, 16, 5)  # frames; the last is shorter than a patch
NETS = {
    "ssast": Ssast(arch="ssast", n_frames=96),
    "ssast, overlapping": Ssast(arch="ssast", n_frames=96, stride=(10, 10)),
    "ssast, class tokens": Ssast(arch="ssast", n_frames=96, pooling="cls"),
    "sslam": Sslam(arch="sslam", size="tiny", n_frames=96),
    "sslam, mean": Sslam(arch="sslam", size="tiny", n_frames=96, pooling="mean"),
    "sslam, linear softmax": Sslam(arch="sslam", size="tiny", n_frames=96, pooling="linear-softmax"),
}


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    for module in (ssast, sslam):
        monkeypatch.setitem(module.SIZES, "tiny", module.SIZES["tiny"]._replace(depth=2))


@pytest.fixture(params=NETS)
def model(request) -> Classifier:
    return build(NETS[request.param], 32, 3, torch.Generator().manual_seed(0)).eval()


def clips(length: int = 96, pad: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(len(LENGTHS), length, 32, generator=torch.Generator().manual_seed(1))
    n_frames = torch.tensor(LENGTHS)
    x[torch.arange(length) >= n_frames[:, None]] = pad
    return x, n_frames


@torch.inference_mode()
def test_logits_do_not_depend_on_padding(model):
    x, n_frames = clips()
    together = model(x, n_frames)
    assert together.std(dim=0).min() > 1e-3  # so there is something to compare
    filled = model(clips(pad=7.0)[0], n_frames)
    torch.testing.assert_close(filled[:4], together[:4], atol=1e-5, rtol=0)  # the last has no patch of its own
    assert not torch.allclose(model(x)[1:], together[1:], atol=1e-3)  # but they do where it is heard
    torch.testing.assert_close(model(x)[:1], together[:1], atol=1e-5, rtol=0)
    for i, length in enumerate(LENGTHS):
        alone = model(x[i : i + 1, :length], n_frames[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=0)
        if length >= 16:
            torch.testing.assert_close(model(x[i : i + 1, :length]), alone, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_layers_of_a_shorter_input_are_those_of_the_same_patches(model):
    x, n_frames = clips()
    whole = model.layers(x, n_frames)
    for name, tokens in model.layers(x[1:, :70], n_frames[1:]).items():
        columns = tokens.shape[1] // model.grid[0]
        mine, theirs = model.sounding(n_frames)[1:], model.sounding(n_frames, columns)[1:]
        for i in range(len(LENGTHS) - 1):
            torch.testing.assert_close(tokens[i, theirs[i]], whole[name][i + 1, mine[i]], atol=1e-5, rtol=0)


def test_of_clips_with_padding_a_share_of_what_sounds_is_dropped():
    patches = torch.arange(12.0).repeat(500, 1)[:, :, None]
    visible = torch.arange(12) < torch.tensor([12, 7, 1]).repeat(500)[:500, None]
    kept, left = keep_some(patches, visible, 0.5)
    assert kept.shape == (500, 6, 1) and left.sum(dim=1).tolist()[:3] == [6, 4, 1]
    for i, n in enumerate((12, 7, 1)):
        sounding = kept[i::3, :, 0][left[i::3]]
        assert set(sounding.tolist()) == set(range(n))
    torch.testing.assert_close(keep_some(patches, None, 0.5)[0].shape, kept.shape)


def test_dropped_patches_and_padding_together_still_teach_all_weights(model):
    model.patchout, (x, n_frames) = 0.5, clips()
    model.train()(x, n_frames).square().sum().backward()
    weights = dict(model.named_parameters())
    weights.pop("pos_embed", None)  # of the columns that are there
    assert all(weight.grad.isfinite().all() and weight.grad.any() for weight in weights.values())


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    rng = np.random.default_rng(0)
    frames = {f"c{i:02d}": rng.normal(-6, 2, (n, 32)) for i, n in enumerate((30, 45, 12, 48, 90, 40, 40))}
    return FeatureStore(write_store(tmp_path / "fbank", frames))


def clip_set(store, scale) -> ClipSet:
    ids = tuple(store.clip_ids)
    return ClipSet(store, ids, np.zeros((len(ids), 3), np.float32), 48, scale, CPU)


def test_batches_are_as_long_as_their_longest_clip(store):
    ignoring = clip_set(store, Scale(-6.0, 2.0, 0.0, ignored=True))
    first, second, third = batches = list(ignoring.in_order(3))
    assert [batch.x.shape[1] for batch in batches] == [45, 48, 40]
    assert ignoring.heard(first).tolist() == [30, 45, 12]
    assert ignoring.heard(second).tolist() == [48, 48, 40]
    assert third.full and ignoring.heard(third) is None
    padding = clip_set(store, Scale(-6.0, 2.0, 0.0))
    assert [batch.x.shape[1] for batch in padding.in_order(3)] == [48, 48, 48]
    assert all(padding.heard(batch) is None for batch in padding.in_order(3))


@pytest.mark.parametrize("net", [SSAST, SSLAM], ids=["ssast", "sslam"])
def test_prediction_is_the_same_in_any_batch(tmp_path, net):
    folder = small_model(tmp_path / "model", net, padding="ignored")
    predictor = Predictor.load(folder, CPU)
    lengths = {"a.wav": 0.5, "b.wav": 0.21, "c.wav": 1.2, "d.wav": 0.33}
    for seed, (name, seconds) in enumerate(lengths.items()):
        recording(tmp_path / name, seconds, 16000, seed=seed)
    found = {}
    for size in (1, 16):
        predict_part(list(lengths), tmp_path, predictor, Predict(batch_size=size), tmp_path / f"{size}")
        found[size] = {one.file: one.scores for one in Scores(tmp_path / f"{size}" / "scores.parquet").by_file()}
    heard = Predictor.load(small_model(tmp_path / "hears", net), CPU)
    predict_part(list(lengths), tmp_path, heard, Predict(), tmp_path / "heard")
    padded = {one.file: one.scores for one in Scores(tmp_path / "heard" / "scores.parquet").by_file()}
    for name in lengths:
        np.testing.assert_allclose(found[1][name], found[16][name], atol=1e-5, rtol=0)
        assert np.allclose(found[1][name], padded[name], atol=1e-5) == (name in ("a.wav", "c.wav"))


@pytest.mark.parametrize("net", [SSAST, SSLAM], ids=["ssast", "sslam"])
def test_evaluation_is_the_same_in_any_batch(tmp_path, store, net):
    predictor = Predictor.load(small_model(tmp_path / "model", net, padding="ignored"), CPU)
    clips = clip_set(store, predictor.card.scale)
    one, all_ = (scores(predict(predictor.model, clips, size, None), "bce") for size in (1, 7))
    np.testing.assert_allclose(one, all_, atol=1e-5, rtol=0)


def test_a_mixture_sounds_as_long_as_the_longer_clip():
    x, n_frames = clips()
    batch = Batch(x, n_frames, torch.eye(5), False, Share(5))
    scale = Scale(-6.0, 4.0, 0.0, ignored=True)
    for probability, expected in ((1, [96, 70, 45, 70, 96]), (1e-12, list(LENGTHS))):
        settings = Augment(batch_mixup=BatchMixup(probability=probability, alpha=0.8))
        assert augment(batch, settings, scale, np.random.default_rng(0)).n_frames.tolist() == expected


def test_an_epoch_has_batches_of_like_length(tmp_path):
    rng = np.random.default_rng(0)
    lengths = rng.integers(10, 60, 403)
    frames = {f"c{i:03d}": np.ones((n, 4)) for i, n in enumerate(lengths)}
    clips = clip_set(FeatureStore(write_store(tmp_path / "fbank", frames)), Scale(-6.0, 2.0, 0.0, ignored=True))
    order = np.split(rng.permutation(403), [250])
    found = of_like_length(clips, order, 4, np.random.default_rng(1))
    assert [len(window) for window in found] == [250, 153]
    before, after = np.concatenate(order), np.concatenate(found)
    seen, ends = np.minimum(lengths, 48), range(64, 403, 64)  # pools of 16 batches; the model sees 48 frames
    for old, new in zip(np.split(before, ends), np.split(after, ends), strict=True):
        assert sorted(old) == sorted(new)
    assert after[400:].tolist() == before[400:].tolist()
    spread = np.ptp(seen[after[:384].reshape(-1, 4)], axis=1)
    assert spread.mean() < 4 < 15 < np.ptp(seen[before[:384].reshape(-1, 4)], axis=1).mean()
    longest = seen[after[:64].reshape(-1, 4)].max(axis=1)
    assert longest.tolist() != sorted(longest.tolist())
    frames = {f"c{i}": np.ones((50 + i, 4)) for i in range(9)}
    alike = clip_set(FeatureStore(write_store(tmp_path / "alike", frames)), Scale(-6.0, 2.0, 0.0, ignored=True))
    assert of_like_length(alike, [np.arange(9)], 2, rng)[0].tolist() == list(range(9))


def test_training_without_padding_is_the_same_and_with_it_another(tmp_path, monkeypatch):
    """Where all clips fill the input, nothing is left to ignore."""
    monkeypatch.setitem(ssast.SIZES, "tiny", ssast.Size(16, 2, 2, 2))
    weights = {}
    for case, n_frames in (("filled", 8), ("padded", 16)):  # clips have 8 to 19 frames
        data = small_training.inputs(tmp_path / case)
        for padding in ("mean", "ignored"):
            settings = small_training.settings(net={**small_training.NET, "n_frames": n_frames})
            settings = settings.model_copy(update={"padding": padding})
            made = small_training.train(data, tmp_path / case / padding, settings)
            weights[case, padding] = load_file(made.model)
    for case, same in (("filled", True), ("padded", False)):
        one, other = weights[case, "mean"], weights[case, "ignored"]
        assert all(torch.equal(weight, other[name]) for name, weight in one.items()) == same


@pytest.mark.parametrize("export", [export_hugging_face, export_onnx])
def test_other_programs_hear_padding(tmp_path, export):
    folder = small_model(tmp_path / "model", {**SSAST, "patch": (16, 16), "pooling": "cls"}, padding="ignored")
    with pytest.raises(InputError, match="padding"):
        export(folder, tmp_path / "out", None)
