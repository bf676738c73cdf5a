"""Every form of feature file is read; anything else is an error that says what it is."""

import collections
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tymbal.config.data import Features, Normalised
from tymbal.errors import InputError
from tymbal.imported import AudioConf, load, n_padding, read_features, read_side_file, undo

X = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
FEATURES = Features(n_mels=4)


@dataclasses.dataclass
class Sample:
    """A class that only the program which saved it has."""

    x: int


@pytest.mark.parametrize(
    "content",
    [
        {"x": X.half(), "y": torch.tensor([0.0, 0.6])},
        {"x": X},
        {"x": X.numpy()},
        {"x": X.numpy().astype(np.float16), "y": np.array([1, 0])},
        {"x": np.asfortranarray(X.numpy()), "y": np.array(["Cicada"])},
        {"x": X.double().numpy(), "label": "Cicada"},
        {"x": X, "y": collections.OrderedDict(a=1)},
        X,
        X.numpy(),
        X.bfloat16(),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("zipped", [True, False])
def test_every_form_is_read(tmp_path, content, zipped):
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    stored = content["x"] if isinstance(content, dict) else content
    x = read_features(tmp_path / "a.pt", FEATURES)
    assert str(x.dtype).removeprefix("torch.") == str(stored.dtype).removeprefix("torch.")
    torch.testing.assert_close(x.float(), torch.as_tensor(stored).float(), rtol=0, atol=0)


def test_arrays_of_older_numpy_are_read(tmp_path):
    torch.save({"x": X.numpy()}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "a.pt").read_bytes()
    assert data.count(b"numpy._core.multiarray") == 1
    (tmp_path / "a.pt").write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    torch.testing.assert_close(read_features(tmp_path / "a.pt", FEATURES), X)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x": X, "y": Sample(1)}, "holds Python objects beside tensors and arrays"),
        ({"x": np.array([[Sample(1)]])}, "holds Python objects"),
        ({"fbank": X}, r"has no 'x'.* found the keys \['fbank'\]"),
        ({"audio_conf": {"mean": 1.0}, "total_samples": 3}, "describes a data set"),
        ({"x": [[0.0]]}, "holds list, expected a tensor"),
        (3, "holds int"),
        ({"x": X[None]}, r"holds float32 \[1, 7, 4\], expected floating point \[frames, mel bins\]"),
        ({"x": X.long()}, "holds int64"),
        ({"x": X[:0]}, r"is empty: \[0, 4\]"),
        ({"x": X.T.contiguous()}, r"is \[4, 7\], expected \[frames, 4\]: it seems to be transposed"),
        ({"x": X[:, :3]}, r"is \[7, 3\], expected \[frames, 4\]: correct `features.n_mels`"),
        ({"x": torch.where(X > 0, torch.nan, X)}, "of 28 values are not finite"),
        ({"x": X.half() * 1e5}, "of 28 values are not finite"),
    ],
)
def test_anything_else_is_told(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(InputError, match=message):
        read_features(tmp_path / "a.pt", FEATURES)


def test_a_program_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "a.pt").write_bytes(pickle.dumps({"x": Trap()}, protocol=2))
    with pytest.raises(InputError):
        load(tmp_path / "a.pt")
    torch.save({"x": Trap()}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="could run any program"):
        load(tmp_path / "a.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_are_cut_short_are_told(tmp_path, zipped):
    torch.save({"x": X}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    data = (tmp_path / "a.pt").read_bytes()
    for n in range(0, len(data), 97):
        (tmp_path / "a.pt").write_bytes(data[:n])
        with pytest.raises(InputError, match="0 bytes" if n == 0 else "damaged"):
            load(tmp_path / "a.pt")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load(tmp_path / "absent.pt")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), zipped=st.booleans())
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_bytes_give_features_or_an_error(tmp_path, data, zipped):
    torch.save({"x": X, "y": [1, 2]}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    content = bytearray((tmp_path / "a.pt").read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    (tmp_path / "a.pt").write_bytes(bytes(content))
    try:
        x = load(tmp_path / "a.pt")
    except InputError:
        return
    assert x.dim() == 2 and x.isfinite().all()


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_any_bytes_give_an_error(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError):
        load(tmp_path / "a.pt")


STATS = Normalised(mean=-7.4482, std=2.4689)


def test_normalisation_is_undone():
    raw = 3 * X - 8
    features = Features(n_mels=4, normalised=STATS)
    torch.testing.assert_close(undo((raw + 7.4482) / (2 * 2.4689), features), raw)
    features = Features(n_mels=4, normalised=Normalised(mean=7.4482, std=2.4689, factor=1))  # as it was really applied
    torch.testing.assert_close(undo((raw - 7.4482) / 2.4689, features), raw)
    half = undo(raw.half(), FEATURES)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, raw, rtol=1e-3, atol=0)


@pytest.mark.parametrize("value", [0.0, 1.5084, -100.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_padding_is_taken_off_at_the_end_only(value, dtype):
    row = torch.full((1, 4), value)
    x = torch.cat([row, X, row, X, row, row, row]).to(dtype)
    features = Features(n_mels=4, normalised=STATS, padding=value)
    assert n_padding(x, value) == 3
    assert len(undo(x, features)) == 16
    assert n_padding(x[:-3], value) == 0
    almost = x.clone()
    almost[-1, 2] += 0.5
    assert n_padding(almost, value) == 0
    assert len(undo(x, Features(n_mels=4))) == 19  # none is declared
    with pytest.raises(InputError, match="holds nothing but padding"):
        undo(x[-3:], features)


def test_the_side_file_is_read_if_it_can_be(tmp_path):
    assert read_side_file(tmp_path) is None
    for content in (3, {"audio_conf": 3}, {"audio_conf": {"mean": "x"}}, {"total_samples": 3}):
        torch.save(content, tmp_path / "dataset_config.pt")
        assert read_side_file(tmp_path) is None
    conf = {"mean": np.float64(-7.4482), "std": 2.4689, "target_length": 1024, "mode": "train"}
    torch.save({"audio_conf": conf, "total_samples": 9, "success_count": 9}, tmp_path / "dataset_config.pt")
    assert read_side_file(tmp_path) == AudioConf(-7.4482, 2.4689, 1024)
    torch.save({"audio_conf": {"mean": -7.4482}}, tmp_path / "dataset_config.pt")
    assert read_side_file(tmp_path) == AudioConf(-7.4482, None, None)
