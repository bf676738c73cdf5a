"""Weights in and out of files: what fits, what is changed on the way, and what is refused with which words."""

import argparse
import dataclasses
import json
import logging
import re

import numpy as np
import pytest
import torch

from small_pretraining import pretraining
from tymbal.config.models import Frontend, Ssast, SsastEncoder
from tymbal.errors import InputError
from tymbal.models.classifier import is_head
from tymbal.models.positions import adapt_positions, describe_fit
from tymbal.models.sources import load_start
from tymbal.models.ssast import SIZES, SSAST, Size
from tymbal.models.ssast_start import FINETUNED, PRETRAINED
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.spectrogram import FeatureState

N_MELS = 32


@pytest.fixture(autouse=True)
def _small_sizes(monkeypatch):
    """The published sizes are heavier than these tests need."""
    monkeypatch.setitem(SIZES, "tiny", Size(8, 2, 2, 2))
    monkeypatch.setitem(SIZES, "small", Size(12, 3, 2, 2))
    monkeypatch.setitem(SIZES, "base-nokd", Size(8, 2, 2, 1))


def network(**settings) -> Ssast:
    return Ssast(arch="ssast", **{"patch": (8, 8), "stride": (8, 8), "n_frames": 64, **settings})


def build(net: Ssast, n_mels: int = N_MELS, seed: int = 0, n_classes: int = 3) -> SSAST:
    return SSAST(net, n_mels, n_classes, torch.Generator().manual_seed(seed))


def features(n_mels: int = N_MELS, sample_rate: int = 16000) -> FeatureState:
    return FeatureState.of(Frontend(n_mels=n_mels, sample_rate=sample_rate))


def foreign(kind: str = PRETRAINED, net: Ssast | None = None, n_mels: int = N_MELS) -> dict[str, torch.Tensor]:
    """What the original code saves for a model of ours: its keys, and the parts we have no use for."""
    net = net or network()
    state = {f"v.{name}": value for name, value in build(net, n_mels, 7).state_dict().items() if not is_head(name)}
    dim = SIZES[net.size].dim
    state |= {"v.head.weight": torch.ones(1000, dim), "v.head.bias": torch.ones(1000)}
    if kind == PRETRAINED:
        state |= {"p_input_fdim": torch.tensor(n_mels), "p_input_tdim": torch.tensor(net.n_frames)}
        state |= {"mask_embed": torch.ones(1, 1, dim), "cpredlayer.0.bias": torch.ones(dim)}
    else:
        state |= {"mlp_head.0.weight": torch.ones(dim), "mlp_head.1.weight": torch.ones(5, dim)}
    return state


@pytest.fixture
def load(tmp_path):
    """Loads a foreign state into a fresh model; gives model and report."""

    def load(state, net: Ssast | None = None, n_mels: int = N_MELS, prefix: str = "module."):
        net = net or network()
        path = tmp_path / "foreign.pth"
        torch.save({f"{prefix}{key}": value for key, value in state.items()}, path)
        model = build(net, n_mels)
        return model, load_start(path, model, net, features(n_mels))

    return load


# --- SSAST's files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_pretrained_backbone_is_taken_and_the_head_stays_random(load, prefix):
    state = foreign()
    model, report = load(state, prefix=prefix)
    fresh = build(network()).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, fresh[name] if is_head(name) else state[f"v.{name}"]), name
    assert report.kind == PRETRAINED
    assert (report.n_mels, report.n_frames) == (N_MELS, 64)
    assert (report.positions_mel, report.positions_time) == ("kept", "kept")
    assert set(report.left_out) == {
        *("v.head.weight", "v.head.bias", "p_input_fdim", "p_input_tdim", "mask_embed", "cpredlayer.0.bias")
    }
    assert report.corpus is None
    assert report.fresh == ("head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias")
    assert len(report.sha256) == 64
    assert json.loads(json.dumps(dataclasses.asdict(report)))["patch_kernel"] == "kept, at stride 8 x 8"


def test_one_class_token(load):
    net = network(size="base-nokd", n_frames=40)
    state = foreign(net=network(size="base-nokd"))
    model, report = load(state, net)
    assert report.positions_time == "cropped 8 -> 5 (columns 2..6)"
    table = state["v.pos_embed"][0, 1:].view(4, 8, 8)[:, 2:7]
    assert torch.equal(model.pos_embed[0], torch.cat([state["v.pos_embed"][0, :1], table.flatten(0, 1)]))


def test_another_stride_keeps_the_kernel_and_fits_the_positions(load):
    state = foreign()
    net = network(stride=(4, 8), n_frames=120)
    model, report = load(state, net)
    assert report.patch_kernel == "kept, at stride 4 x 8"
    assert report.positions_mel == "interpolated 4 -> 7"
    assert report.positions_time == "interpolated 8 -> 15"
    assert torch.equal(model.patch_embed.proj.weight, state["v.patch_embed.proj.weight"])
    assert torch.equal(model.pos_embed[:, :2], state["v.pos_embed"][:, :2])
    rows = state["v.pos_embed"][0, 2:].view(4, 8, 8)
    assert torch.allclose(model.pos_embed[0, 2], rows[0, 0])  # corners are clamped
    assert torch.allclose(model.pos_embed[0, -1], rows[3, 7])
    assert model(torch.zeros(1, 120, N_MELS)).shape == (1, 3)


def test_other_mel_bins_are_cropped_and_warned_about(load, caplog):
    with caplog.at_level(logging.WARNING):
        _, report = load(foreign(), n_mels=16)
    assert report.n_mels == 32
    assert report.positions_mel == "cropped 4 -> 2 (rows 1..2)"
    assert "saw 32 mel bins, now there are 16" in caplog.text


def test_an_untold_sample_rate_is_warned_about(tmp_path, caplog):
    """SSAST's files do not tell theirs, and all that were published are of 16 kHz."""
    torch.save(foreign(), tmp_path / "foreign.pth")
    for rate in (16000, 44100):
        caplog.clear()
        load_start(tmp_path / "foreign.pth", build(network()), network(), features(sample_rate=rate))
        assert ("at 44100 Hz a row means other frequencies" in caplog.text) == (rate == 44100)


def test_pretraining_goes_on_with_mask_token_and_prediction_heads(tmp_path):
    net = SsastEncoder(arch="ssast", patch=(8, 8), n_frames=40)
    then = MaskedPatchModel(
        pretraining(net.model_copy(update={"n_frames": 64})), N_MELS, torch.Generator().manual_seed(1)
    )
    own = ("mask_embed", "cpredlayer.", "gpredlayer.")
    state = {name if name.startswith(own) else f"v.{name}": value for name, value in then.state_dict().items()}
    state |= {"p_input_fdim": torch.tensor(N_MELS), "p_input_tdim": torch.tensor(64), "v.head.bias": torch.ones(9)}
    del state["gpredlayer.2.bias"]
    torch.save(state, tmp_path / "foreign.pth")
    model = MaskedPatchModel(pretraining(net), N_MELS, torch.Generator().manual_seed(2))
    random_bias = model.gpredlayer[2].bias.clone()
    report = load_start(tmp_path / "foreign.pth", model, net, features())
    assert report.left_out == ("p_input_fdim", "p_input_tdim", "v.head.bias")
    assert report.fresh == ("gpredlayer.2.bias",)
    assert report.positions_time == "cropped 8 -> 5 (columns 2..6)"
    assert report.patch_kernel == "kept, at stride 8 x 8"
    for name, value in model.state_dict().items():
        if name not in ("gpredlayer.2.bias", "pos_embed"):
            assert torch.equal(value, then.state_dict()[name]), name
    assert torch.equal(model.gpredlayer[2].bias, random_bias)


def test_half_precision_weights_load(load):
    state = {key: value.half() if value.is_floating_point() else value for key, value in foreign().items()}
    model, _ = load(state, network(n_frames=80))
    assert model.pos_embed.dtype == torch.float32
    assert torch.equal(model.norm.weight, state["v.norm.weight"].float())


def test_finetuned_backbone_is_taken_where_it_fits(load):
    state = foreign(FINETUNED)
    model, report = load(state)
    assert report.kind == FINETUNED
    assert (report.n_mels, report.n_frames, report.positions_time) == (None, None, "kept")
    assert "mlp_head.1.weight" in report.left_out
    assert torch.equal(model.pos_embed, state["v.pos_embed"])
    assert torch.equal(model.head[1].weight, build(network()).head[1].weight)


def test_finetuned_positions_of_another_length_are_refused(load):
    with pytest.raises(InputError, match=r"v\.pos_embed.*shape \[1, 34, 8\], expected \[1, 18, 8\].*does not tell"):
        load(foreign(FINETUNED), network(n_frames=32))


def _without(state, *prefixes):
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


@pytest.mark.parametrize(
    ("state", "net", "expected"),
    [
        (
            lambda: foreign(net=network(size="small")),
            network(),
            [
                "embedding size: the file has 12, net.size 'tiny' needs 8",
                "number of blocks: the file has 3, net.size 'tiny' needs 2",
            ],
        ),
        (
            lambda: foreign(net=network(size="base-nokd")),
            network(),
            ["number of class tokens: the file has 1, net.size 'tiny' needs 2"],
        ),
        (
            lambda: foreign(),
            network(patch=(32, 2), stride=(32, 2)),
            ["patch (mel bins x frames): the file has 8 x 8, net.patch is 32 x 2"],
        ),
        (
            lambda: _without(foreign(), "v.norm.bias", "v.blocks.1.mlp.fc1"),
            network(),
            [
                "v.blocks.1.mlp.fc1.bias: missing in the file",
                "v.blocks.1.mlp.fc1.weight: missing in the file",
                "v.norm.bias: missing in the file",
            ],
        ),
        (
            lambda: foreign() | {"v.gate": torch.ones(1), "mlp_head.1.weight": torch.ones(5, 8)},
            network(),
            ["mlp_head.1.weight: in the file, but not in the model", "v.gate: in the file, but not in the model"],
        ),
        (
            lambda: foreign() | {"v.norm.bias": torch.ones(3)},
            network(),
            ["v.norm.bias: the file has shape [3], the model [8]"],
        ),
        (
            lambda: foreign() | {"p_input_tdim": torch.tensor(128)},
            network(),
            [
                "v.pos_embed: the file has shape [1, 34, 8], expected [1, 66, 8] for the 2 class tokens and 4 x 16 "
                "patches that the file's own 32 mel bins x 128 frames give"
            ],
        ),
        (
            lambda: _without(foreign(net=network(size="base-nokd")), "v.norm.bias") | {"p_input_tdim": torch.tensor(8)},
            network(patch=(16, 4)),
            [
                "number of class tokens: the file has 1, net.size 'tiny' needs 2",
                "patch (mel bins x frames): the file has 8 x 8, net.patch is 16 x 4",
                "v.norm.bias: missing in the file",
                "v.pos_embed: the file has shape [1, 33, 8], expected [1, 5, 8] for the 1 class tokens and 4 x 1 "
                "patches that the file's own 32 mel bins x 8 frames give",
            ],
        ),
    ],
)
def test_every_misfit_is_told_at_once(load, state, net, expected):
    with pytest.raises(InputError) as caught:
        load(state(), net)
    headline, *lines = str(caught.value).splitlines()
    assert f"foreign.pth ({PRETRAINED})" in headline
    assert [line.removeprefix("  - ") for line in lines[:-1]] == expected
    assert lines[-1].startswith("What to do: set net.size, net.patch and the front end as in")


def _partly(value: float) -> torch.Tensor:
    return torch.tensor([1.0] * 6 + [value] * 2)


UNUSABLE = {
    "NaN": (_partly(np.nan), "2 of 8 values are NaN or infinite"),
    "infinite": (_partly(-np.inf).half(), "2 of 8 values are NaN or infinite"),
    "infinite in single precision": (_partly(1e300).double(), "2 of 8 values are NaN or infinite"),
    "integers": (torch.ones(8, dtype=torch.int64), "of type int64, expected floats of 16, 32 or 64 bits"),
    "bool": (torch.ones(8, dtype=torch.bool), "of type bool, expected floats of 16, 32 or 64 bits"),
    "fp8": (torch.ones(8).to(torch.float8_e4m3fn), "of type float8_e4m3fn, expected floats of 16, 32 or 64 bits"),
    "complex": (torch.ones(8) + 0j, "of type complex64, expected floats of 16, 32 or 64 bits"),
    "quantised": (
        torch.quantize_per_tensor(torch.ones(8), 0.1, 0, torch.qint8),
        "of type qint8, expected floats of 16, 32 or 64 bits",
    ),
    "sparse": (torch.ones(8).to_sparse(), "a sparse tensor, expected a dense one"),
    "meta": (torch.ones(8, device="meta"), "without values (on torch's meta device)"),
    "expanded": (torch.tensor([np.nan]).expand(8), "1 of 1 values are NaN or infinite"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_a_parameter_is_refused_with_all_others(load, kind):
    """Also where it is taken only if it fits, such as the mask token; what is left out may be anything."""
    value, told = UNUSABLE[kind]
    state = _without(foreign(), "v.norm.bias") | {"v.blocks.1.norm1.bias": value, "v.norm.weight": value}
    state["v.head.bias"] = value
    with pytest.raises(InputError) as caught:
        load(state)
    assert list(caught.value.cases) == [
        "v.norm.bias: missing in the file",
        f"v.blocks.1.norm1.bias: {told}",
        f"v.norm.weight: {told}",
    ]


def test_positions_and_mask_token_must_be_numbers_too(tmp_path):
    net = SsastEncoder(arch="ssast", patch=(8, 8), n_frames=64)
    state = foreign() | {"mask_embed": torch.full((1, 1, 8), torch.nan)}
    state["v.pos_embed"] = state["v.pos_embed"].to(torch.float8_e5m2)
    torch.save(state, tmp_path / "foreign.pth")
    model = MaskedPatchModel(pretraining(net), N_MELS, torch.Generator().manual_seed(2))
    with pytest.raises(InputError) as caught:
        load_start(tmp_path / "foreign.pth", model, net, features())
    assert list(caught.value.cases) == [
        "mask_embed: 8 of 8 values are NaN or infinite",
        "v.pos_embed: of type float8_e5m2, expected floats of 16, 32 or 64 bits",
    ]


def test_a_file_of_another_size_has_its_unusable_values_told_as_well(load):
    """Also of a tensor that a small file expands beyond all memory."""
    state = foreign(net=network(size="small")) | {"v.norm.weight": torch.full((1, 1), np.inf).expand(10**6, 10**6)}
    with pytest.raises(InputError) as caught:
        load(state | {"v.norm.bias": state["v.norm.bias"].int()})
    *sizes, integers, infinite = caught.value.cases
    assert len(sizes) == 2
    assert integers.startswith("v.norm.bias: of type int32")
    assert infinite == "v.norm.weight: 1 of 1 values are NaN or infinite"


@pytest.mark.parametrize("key", ["p_input_fdim", "p_input_tdim"])
@pytest.mark.parametrize(
    "value",
    [*map(torch.tensor, ([32, 32], [], np.nan, np.inf, 0, 7, 40.5, 32j)), torch.tensor(32, device="meta")],
)
def test_a_file_that_is_for_no_number_of_mel_bins_or_frames_is_not_ssasts(load, key, value):
    with pytest.raises(InputError, match="not a checkpoint of SSAST"):
        load(foreign() | {key: value})


def test_an_empty_patch_is_not_ssasts(load):
    with pytest.raises(InputError, match="not a checkpoint of SSAST"):
        load(foreign() | {"v.patch_embed.proj.weight": torch.ones(8, 1, 0, 8)})


def test_another_pickle_protocol_is_told(tmp_path):
    torch.save(foreign(), tmp_path / "foreign.pth", pickle_protocol=4)
    with pytest.raises(InputError, match=r"another pickle protocol than 2 .*save it again with torch\.save's default"):
        load_start(tmp_path / "foreign.pth", build(network()), network(), features())


def test_a_refused_file_leaves_the_model_alone(tmp_path):
    path, model = tmp_path / "foreign.pth", build(network())
    torch.save(_without(foreign(), "v.norm.bias"), path)
    with pytest.raises(InputError):
        load_start(path, model, network(), features())
    fresh = build(network()).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "not a PyTorch file, or a damaged one"),
        (b"fold,clip\n1,a\n", "not a PyTorch file, or a damaged one"),
        ("half", "not a PyTorch file, or a damaged one"),
        ({"args": argparse.Namespace(lr=1)}, r"more than tensors \(argparse\.Namespace\).*refused"),
        ([torch.ones(1)], "found a list, expected a state dict"),
        ({"model": {}, "epoch": 3}, "not a checkpoint of SSAST, EAT or SSLAM.*2 entries, among them epoch, model"),
        ({"conv.weight": torch.ones(1)}, "not a checkpoint of SSAST, EAT or SSLAM.*1 entries, among them conv.weight"),
        ({}, "not a checkpoint of SSAST"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "other.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "half":
        torch.save(foreign(), path)
        path.write_bytes(path.read_bytes()[:1000])
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=message) as caught:
        load_start(path, build(network()), network(), features())
    assert str(path) in str(caught.value)


# --- positions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 8), (4, 5), (3, 8), (1, 1), (7, 8), (4, 19), (9, 3), (2, 17)])
def test_positions_against_one_axis_at_a_time(size):
    """Cropping is an index, interpolation is NumPy's at half-pixel centres; the two axes do not know each other."""
    table = torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(0)).double()
    expected = table.numpy()
    for axis, n in ((1, size[0]), (2, size[1])):
        old = expected.shape[axis]
        start = old // 2 - n // 2
        where = np.arange(start, start + n) if n <= old else (np.arange(n) + 0.5) * old / n - 0.5
        expected = np.apply_along_axis(
            lambda row, old=old, at=where: np.interp(at, np.arange(old), row), axis, expected
        )
    np.testing.assert_allclose(adapt_positions(table, size).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 4, 8])
def test_positions_of_the_same_grid_are_untouched(rows):
    table = torch.randn(5, rows, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(adapt_positions(table, (rows, 6)), table)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (64, 50, "cropped 64 -> 50 (columns 7..56)"),
        (64, 9, "cropped 64 -> 9 (columns 28..36)"),
        (512, 511, "cropped 512 -> 511 (columns 1..511)"),
        (64, 64, "kept"),
        (8, 12, "interpolated 8 -> 12"),
    ],
)
def test_what_was_done_to_positions_is_told(old, new, expected):
    assert describe_fit(old, new, "columns") == expected
    kept = adapt_positions(torch.arange(float(old)).view(1, 1, old), (1, new)).flatten()
    if match := re.search(r"(\d+)\.\.(\d+)", expected):
        assert [kept[0].item(), kept[-1].item()] == [float(end) for end in match.groups()]
