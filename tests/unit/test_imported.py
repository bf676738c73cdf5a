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
from tymbal.fbank import fbank
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
        torch.nn.Parameter(X),
    ],
    ids=range(11),
)
@pytest.mark.parametrize("zipped", [True, False])
def test_every_form_is_read(tmp_path, content, zipped):
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    stored = content["x"] if isinstance(content, dict) else content
    x = read_features(tmp_path / "a.pt", FEATURES)
    assert str(x.dtype).removeprefix("torch.") == str(stored.dtype).removeprefix("torch.")
    torch.testing.assert_close(x.float(), torch.as_tensor(stored).detach().float(), rtol=0, atol=0)
    x.float().numpy()  # impossible while it could be trained


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8"])
def test_arrays_of_the_other_byte_order_are_read(tmp_path, dtype):
    torch.save({"x": X.numpy().astype(dtype)}, tmp_path / "a.pt")
    torch.testing.assert_close(load(tmp_path / "a.pt").float(), X, rtol=1e-3, atol=1e-3)


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
        ({"x": X.to(torch.float8_e4m3fn)}, "holds float8_e4m3fn"),
        ({"x": X.to(torch.complex64)}, "holds complex64"),
        ({"x": np.array([["a", "b"]])}, "holds an array of <U1"),
        ({"x": np.array([[1, 2]])}, "holds an array of int64"),
        ({"x": np.array(3.0)}, "holds float64"),
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


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, that these are new
@pytest.mark.parametrize(
    "make",
    [
        lambda: X.to_sparse(),
        lambda: X.to_sparse_csr(),
        lambda: X.to("meta"),
        lambda: torch.nested.nested_tensor([X, X[:3]]),
        lambda: torch.nested.nested_tensor([X, X[:3]], layout=torch.jagged),
    ],
)
def test_tensors_that_do_not_lie_in_memory_as_they_are_told(tmp_path, make):
    torch.save({"x": make()}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="holds a sparse, nested or meta tensor"):
        load(tmp_path / "a.pt")


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
    assert n_padding(x, None) == 0  # none is declared
    assert n_padding(x[:-3], value) == 0
    almost = x.clone()
    almost[-1, 2] += 0.5
    assert n_padding(almost, value) == 0
    assert len(undo(torch.cat([X.clamp(-1, 1), row, row]).to(dtype), features)) == len(X)
    with pytest.raises(InputError, match="holds nothing but padding"):
        undo(x[-3:], features)


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    """Raw log-mel of noise that begins with digital silence."""
    samples = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    samples[:4000] = 0
    return fbank(samples, 16000, 128)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rate", [16000, 32000])
@pytest.mark.parametrize("stats", [None, STATS, Normalised(mean=6.6, std=6), Normalised(mean=-4.3, std=1.5, factor=1)])
@pytest.mark.parametrize("gain", [1e-6, 1e-3, 1.0])
def test_rounding_silence_and_quiet_clips_are_no_reason_to_refuse(dtype, rate, stats, gain):
    samples = gain * torch.randn(rate, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    samples[: rate // 4] = 0
    raw = fbank(samples, rate, 128)
    x = raw if stats is None else (raw - stats.mean) / (stats.factor * stats.std)
    found = undo(x.to(dtype), Features(sample_rate=rate, normalised=stats))
    torch.testing.assert_close(found, raw, rtol=0, atol=0.1)


def test_what_does_not_become_log_mel_is_refused(clip):
    declared = Features(normalised=STATS)
    normalised = (clip - STATS.mean) / (2 * STATS.std)
    undo(normalised.half(), declared)
    message = r"does not become log-mel when the declared normalisation \(mean -7.4482, std .*\) is undone: "
    with pytest.raises(InputError, match=message + r"bin 3 would be -30\.8\d, at 16000 Hz always -15\.94"):
        undo(((clip + STATS.mean) / (2 * STATS.std)).half(), declared)  # wrong sign
    with pytest.raises(InputError, match=message + r"bin 3 would be -86"):
        undo(clip.half(), declared)
    with pytest.raises(InputError, match=r"\(none\) is undone: bin 3 would be -1\.7"):
        undo(normalised.half(), Features())
    with pytest.raises(InputError, match=r"bins 4, 7, 12, 17 would be -\d+\.\d\d to -?\d"):
        undo(clip, Features(sample_rate=8000))
    with pytest.raises(InputError, match=r"bin 3 would be -15\.94 to 0, "):
        undo(torch.cat([torch.zeros(9, 128), clip]), Features(padding=0.0))
    with pytest.raises(InputError, match="values would be -30"):  # where no bin is always on the floor
        undo(((clip + STATS.mean) / (2 * STATS.std)).half(), Features(sample_rate=32000, normalised=STATS))
    with pytest.raises(InputError, match=r"possible are -15\.94 to 25"):  # not even in float16
        undo(clip.double() * -1e300, Features(sample_rate=32000))


def test_the_side_file_is_read_if_it_can_be(tmp_path):
    assert read_side_file(tmp_path) is None
    for content in (3, torch.zeros(3), {"audio_conf": 3}, {"total_samples": 3}):
        torch.save(content, tmp_path / "dataset_config.pt")
        assert read_side_file(tmp_path) is None
    conf = {"mean": np.float64(-7.4482), "std": 2.4689, "target_length": 1024, "mode": "train"}
    torch.save({"audio_conf": conf, "total_samples": 9, "success_count": 9}, tmp_path / "dataset_config.pt")
    assert read_side_file(tmp_path) == AudioConf(-7.4482, 2.4689, 1024)
    torch.save({"audio_conf": {"mean": -7.4482}}, tmp_path / "dataset_config.pt")
    assert read_side_file(tmp_path) == AudioConf(-7.4482, None, None)


@pytest.mark.parametrize(
    "bad", ["x", float("nan"), float("inf"), 10**400, [1.0], torch.zeros(2), {}], ids=lambda x: type(x).__name__
)
def test_what_is_no_finite_number_in_a_side_file_is_not_said(tmp_path, bad):
    torch.save({"audio_conf": {"mean": -7.4, "std": bad, "target_length": bad}}, tmp_path / "dataset_config.pt")
    assert read_side_file(tmp_path) == AudioConf(-7.4, None, None)
    torch.save({"audio_conf": {"mean": bad, "std": 2.5}}, tmp_path / "dataset_config.pt")
    assert read_side_file(tmp_path) == AudioConf(None, 2.5, None)
