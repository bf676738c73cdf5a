"""Starting weights of EAT and SSLAM in every released layout and of our own files; nothing of a file is run."""

import dataclasses
import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from small_pretraining import pretraining
from sslam_golden import original_name
from tymbal.config.models import Frontend, Ssast, Sslam, SslamEncoder
from tymbal.errors import InputError
from tymbal.models.build import build
from tymbal.models.card import ModelCard
from tymbal.models.checkpoints import OWN_ENCODER, OWN_MODEL
from tymbal.models.classifier import is_head
from tymbal.models.encoder_card import EncoderCard
from tymbal.models.sources import ALLOWED, load_start
from tymbal.models.sslam import SIZES, SSLAM, Size, sincos_positions
from tymbal.models.sslam_start import FINETUNED, PRETRAINED
from tymbal.models.weights import save_weights
from tymbal.pretrain.sslam import MaskedLatentModel
from tymbal.spectrogram import FeatureState

DIM = 16
IMAGE = "modality_encoders.IMAGE."
POSITIONS = "fixed_positional_encoder.positions"
HUGGING_FACE = {"context_encoder.norm.": "pre_norm.", IMAGE: ""}
HEAD = ("head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias")
CORPUS = {"transductive": True, "held_out": [], "parts": [{"dataset": "wald", "weight": 1.0}]}
ENCODER = SslamEncoder(arch="sslam", size="tiny", n_frames=64)
NET = Sslam(arch="sslam", size="tiny", n_frames=64)


@pytest.fixture(autouse=True)
def _small_sizes(monkeypatch):
    """The published sizes are heavier than these tests need."""
    monkeypatch.setitem(SIZES, "tiny", Size(DIM, 2, 2, 2, 3))
    monkeypatch.setitem(SIZES, "small", Size(2 * DIM, 3, 2, 2, 3))


def features(n_mels: int = 128, sample_rate: int = 16000) -> FeatureState:
    return FeatureState.of(Frontend(n_mels=n_mels, sample_rate=sample_rate))


def classifier(net: Sslam = NET, n_mels: int = 128, seed: int = 0) -> SSLAM:
    model = build(net, n_mels, 3, torch.Generator().manual_seed(seed))
    assert isinstance(model, SSLAM)
    return model


def pretext_model(net: SslamEncoder = ENCODER, seed: int = 0) -> MaskedLatentModel:
    """With a teacher that is not its student, as after some steps."""
    generator = torch.Generator().manual_seed(seed)
    model = MaskedLatentModel(pretraining(net), 128, generator)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.startswith("teacher."):
                value.add_(torch.randn(value.shape, generator=generator))
    return model


def ours(net: SslamEncoder = ENCODER) -> dict[str, torch.Tensor]:
    """What the synthetic files hold, by our names."""
    return pretext_model(net, seed=7).state_dict()


def fairseq(net: SslamEncoder = ENCODER, n_positions: int = 64) -> dict[str, torch.Tensor]:
    """The weights of a pre-training with fairseq, without the teacher; positions as many as 8 rows give columns."""
    state = {original_name(name): value for name, value in ours(net).items() if not name.startswith("teacher.")}
    dim = SIZES[net.size].dim
    return state | {f"{IMAGE}{POSITIONS}": sincos_positions(dim, (8, n_positions // 8))[None]}


def with_teacher() -> dict:
    teacher = {name.removeprefix("teacher."): value for name, value in ours().items() if name.startswith("teacher.")}
    ema = {original_name(name): value for name, value in teacher.items()}
    return fairseq() | {"_ema": ema | {f"{IMAGE}{POSITIONS}": sincos_positions(DIM, (8, 8))[None]}}


def finetuned() -> dict[str, torch.Tensor]:
    state = {f"model.{key}": value for key, value in fairseq().items() if ".decoder." not in key}
    return state | {
        "fc_norm.weight": torch.ones(DIM),
        "fc_norm.bias": torch.ones(DIM),
        "head.weight": torch.ones(9, DIM),
        "head.bias": torch.ones(9),
    }


def hugging_face(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    renamed = {}
    for key, value in state.items():
        if ".decoder." in key:
            continue
        for theirs, there in HUGGING_FACE.items():
            key = key.replace(theirs, there)
        renamed[f"model.{key.removeprefix('model.')}"] = value.clone()
    return renamed


def write(path: Path, state: dict) -> Path:
    """A file as fairseq writes it, or a safetensors file."""
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        rest = {
            "args": None,
            "cfg": {"model": {"depth": 2, "modalities": {"image": {"mel": True}}}, "seed": [1, 2.5, "x"]},
            "extra_state": {"best": np.float64(0.25), "val_loss": np.float32(1.5), "epoch": np.int64(3)},
            "last_optimizer_state": {"state": {0: {"exp_avg": torch.ones(2)}}},
        }
        torch.save({"model": state, **rest}, path)
    return path


def load(path: Path, model=None, net: SslamEncoder = NET, state: FeatureState | None = None):
    """Load into a classifier, or into the model given; gives model and report."""
    model = model or classifier(net)
    return model, load_start(path, model, net, state or features())


def problems(path: Path, model=None, **options) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(path, model, **options)
    return list(caught.value.cases)


# --- released files ---------------------------------------------------------------------------------------

BESIDE = ("args", "cfg", "extra_state", "last_optimizer_state")
RELEASED = {
    "fairseq": ("a.pt", with_teacher, PRETRAINED),
    "fairseq, fine-tuned": ("a.pt", finetuned, FINETUNED),
    "hugging face": ("a.safetensors", lambda: hugging_face(fairseq()), PRETRAINED),
    "hugging face, fine-tuned": ("a.safetensors", lambda: hugging_face(finetuned()), FINETUNED),
}


@pytest.mark.parametrize("layout", RELEASED)
def test_encoder_is_taken_and_the_head_stays_random(tmp_path, layout):
    name, state, kind = RELEASED[layout]
    model, report = load(write(tmp_path / name, state()))
    fresh, then = classifier().state_dict(), ours()
    for key, value in model.state_dict().items():
        assert torch.equal(value, fresh[key] if is_head(key) else then[key]), key
    assert (report.kind, report.fresh, report.corpus) == (kind, HEAD, None)
    assert (report.n_mels, report.n_frames) == (128, None)
    assert (report.patch_kernel, report.positions_time) == ("kept, at stride 16 x 16", "computed")
    json.dumps(dataclasses.asdict(report))


def test_what_is_left_out_of_a_pretraining_is_told(tmp_path):
    _, report = load(write(tmp_path / "a.pt", with_teacher()))
    n_ema = len(with_teacher()["_ema"])
    told = (f"{IMAGE}decoder.* (6 tensors)", f"_ema.* ({n_ema} tensors)", f"{IMAGE}{POSITIONS}", *BESIDE)
    assert report.left_out == tuple(sorted(told))


@pytest.mark.parametrize("prefix", ["", "model."])
def test_what_is_left_out_of_a_finetuned_file_is_told(tmp_path, prefix):
    state = hugging_face(finetuned()) if prefix else finetuned()
    _, report = load(write(tmp_path / ("a.safetensors" if prefix else "a.pt"), state))
    heads = {f"{prefix}{key}" for key in ("fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias")}
    beside = {f"model.{POSITIONS}"} if prefix else {f"model.{IMAGE}{POSITIONS}", *BESIDE}
    assert set(report.left_out) == heads | beside


def test_a_state_dict_alone_is_read(tmp_path):
    torch.save(fairseq(), tmp_path / "a.pt")
    model, _ = load(tmp_path / "a.pt")
    assert torch.equal(model.cls_token, ours()["cls_token"])


def test_half_precision_is_widened(tmp_path):
    model, _ = load(write(tmp_path / "a.pt", {key: value.half() for key, value in fairseq().items()}))
    assert model.norm.weight.dtype == torch.float32
    assert torch.equal(model.cls_token, ours()["cls_token"].half().float())


@pytest.mark.parametrize("n_positions", [8, 64, 512, 6144])
def test_files_with_few_or_many_positions_fit_any_length(tmp_path, n_positions):
    path = write(tmp_path / "a.pt", fairseq(n_positions=n_positions))
    model, _ = load(path, net=NET.model_copy(update={"n_frames": 48}))
    assert torch.equal(model.positions, sincos_positions(DIM, (8, 3)))


def test_positions_need_not_be_there(tmp_path):
    state = fairseq()
    del state[f"{IMAGE}{POSITIONS}"]
    load(write(tmp_path / "a.pt", state))


def test_other_positions_are_refused(tmp_path):
    """Time first and mel bins second would be another network."""
    key = f"{IMAGE}{POSITIONS}"
    quarters = fairseq()[key].chunk(4, dim=2)
    swapped = torch.cat([*quarters[2:], *quarters[:2]], dim=2)
    (told,) = problems(write(tmp_path / "a.pt", fairseq() | {key: swapped}))
    assert told.startswith(f"{key}: up to 2 off")
    for n in (0, 63, 6152):  # more than were released could be any number, in a small file
        (told,) = problems(write(tmp_path / "b.pt", fairseq() | {key: sincos_positions(DIM, (1, n))[None]}))
        assert told == f"{key}: the file has shape [1, {n}, 16], expected [1, a multiple of 8 up to 6144, 16]"


def test_positions_that_are_a_little_off_are_refused(tmp_path, monkeypatch):
    """One value, and frequencies whose last is 1/10000, as others have them."""
    monkeypatch.setitem(SIZES, "tiny", Size(768, 1, 12, 1, 1))
    key, state = f"{IMAGE}{POSITIONS}", fairseq(n_positions=512)
    shifted = state[key].clone()
    shifted[0, 100, 300] += 0.05
    (told,) = problems(write(tmp_path / "a.pt", state | {key: shifted}))
    assert told.startswith(f"{key}: up to 0.05 off")
    omega = 10000 ** (-torch.arange(192) / 191)
    row, column = torch.arange(8).repeat(64)[:, None] * omega, torch.arange(64).repeat_interleave(8)[:, None] * omega
    others = torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)[None]
    (told,) = problems(write(tmp_path / "a.pt", state | {key: others}))
    assert re.match(rf"{re.escape(key)}: up to 0\.\d+ off", told)
    load(write(tmp_path / "a.pt", state | {key: state[key].bfloat16()}))


def test_another_front_end_is_refused(tmp_path):
    path = write(tmp_path / "a.pt", fairseq())
    assert problems(path, classifier(n_mels=64), state=features(64, 32000)) == [
        "sample rate (Hz): the file was trained on features with 16000, the front end has 32000",
        "mel bins: the file was trained on features with 128, the front end has 64",
    ]


def test_every_misfit_is_told_at_once(tmp_path):
    state = fairseq() | {"blocks.0.gate": torch.ones(1)}
    del state["blocks.1.norm1.bias"]
    path = write(tmp_path / "a.pt", state)
    assert problems(path, net=NET.model_copy(update={"size": "small", "patch": (8, 32)})) == [
        "embedding size: the file has 16, net.size 'small' needs 32",
        "number of blocks: the file has 2, net.size 'small' needs 3",
        "patch (mel bins x frames): the file has 16 x 16, net.patch is 8 x 32",
    ]
    state[f"{IMAGE}context_encoder.norm.weight"] = torch.ones(3)
    model = classifier()
    assert problems(write(path, state), model) == [
        "blocks.1.norm1.bias: missing in the file",
        "blocks.0.gate: in the file, but not in the model",
        f"{IMAGE}context_encoder.norm.weight: the file has shape [3], the model [16]",
    ]
    fresh = classifier().state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in model.state_dict().items())


def test_another_size_explains_what_differs_in_decoder_and_teacher(tmp_path):
    net = ENCODER.model_copy(update={"size": "small"})
    assert problems(write(tmp_path / "a.pt", with_teacher()), pretext_model(net), net=net) == [
        "embedding size: the file has 16, net.size 'small' needs 32",
        "number of blocks: the file has 2, net.size 'small' needs 3",
    ]


def test_a_patch_of_more_mel_bins_than_the_released_files_have(tmp_path):
    state = fairseq() | {f"{IMAGE}local_encoder.proj.weight": torch.ones(DIM, 1, 8, 200)}
    net = NET.model_copy(update={"patch": (200, 8)})
    (told,) = problems(write(tmp_path / "a.pt", state), classifier(net, 200), net=net, state=features(200))
    assert told.startswith("mel bins")


def test_an_oblong_patch_is_told_the_right_way_round(tmp_path):
    net = ENCODER.model_copy(update={"patch": (32, 8)})
    state = fairseq(net) | {f"{IMAGE}{POSITIONS}": sincos_positions(DIM, (4, 8))[None]}
    path = write(tmp_path / "a.pt", state)
    load(path, net=NET.model_copy(update={"patch": (32, 8)}))
    assert problems(path) == ["patch (mel bins x frames): the file has 32 x 8, net.patch is 16 x 16"]


def test_unusable_values_are_told_of_every_tensor_that_is_taken(tmp_path):
    """Also of positions, which are compared; not of what is left out."""
    positions, norm = f"{IMAGE}{POSITIONS}", f"{IMAGE}context_encoder.norm."
    state = with_teacher() | {positions: torch.full((1, 8, DIM), torch.nan), f"{norm}bias": torch.ones(DIM).int()}
    state[f"{norm}weight"] = torch.ones(DIM, device="meta")
    state["_ema"]["blocks.0.norm1.bias"] = torch.full((DIM,), torch.inf)
    path = write(tmp_path / "a.pt", state)
    expected = [
        f"{norm}bias: of type int32, expected floats of 16, 32 or 64 bits",
        f"{norm}weight: without values (on torch's meta device)",
        f"{positions}: 128 of 128 values are NaN or infinite",
    ]
    assert problems(path) == expected
    of_teacher = "_ema.blocks.0.norm1.bias: 16 of 16 values are NaN or infinite"
    assert problems(path, pretext_model(), net=ENCODER) == [of_teacher, *expected]


def test_something_else_among_the_weights_is_refused(tmp_path):
    assert problems(write(tmp_path / "a.pt", fairseq() | {"num_updates": 7, 3: torch.ones(1)})) == [
        "'num_updates': of type int",
        "3: its name is no text",
    ]


def test_files_of_another_network_are_told(tmp_path):
    """In both directions, with what to set."""
    sslam, ssast = write(tmp_path / "a.pt", fairseq()), tmp_path / "ssast.pth"
    net = Ssast(arch="ssast", n_frames=64)
    model = build(net, 128, 3, torch.Generator().manual_seed(0))
    named = {f"v.{key}": value for key, value in model.state_dict().items() if not is_head(key)}
    torch.save(named | {"p_input_fdim": torch.tensor(128), "p_input_tdim": torch.tensor(64)}, ssast)
    with pytest.raises(InputError, match=r"SSAST pre-training.*arch 'ssast', but net\.arch is 'sslam'\. Set init"):
        load(ssast)
    with pytest.raises(InputError, match=r"EAT or SSLAM pre-training.*arch 'sslam', but net\.arch is 'ssast'\. Set"):
        load_start(sslam, model, net, features())


# --- for pre-training -------------------------------------------------------------------------------------


def test_pretraining_goes_on_with_decoder_and_teacher(tmp_path):
    model, report = load(write(tmp_path / "a.pt", with_teacher()), pretext_model(), net=ENCODER)
    assert all(torch.equal(value, ours()[key]) for key, value in model.state_dict().items())
    assert report.fresh == ()
    assert set(report.left_out) == {f"{IMAGE}{POSITIONS}", f"_ema.{IMAGE}{POSITIONS}", *BESIDE}


def test_without_teacher_and_decoder_the_teacher_copies_the_student(tmp_path):
    path = write(tmp_path / "a.safetensors", hugging_face(fairseq()))
    model, report = load(path, pretext_model(), net=ENCODER)
    assert report.fresh == ("decoder.*", "teacher.* (a copy of the student)")
    fresh, state = pretext_model().state_dict(), model.state_dict()
    for key, value in state.items():
        if key.startswith("decoder."):
            assert torch.equal(value, fresh[key]), key
        else:
            assert torch.equal(value, ours()[key.removeprefix("teacher.")]), key


def test_a_part_that_is_there_must_be_whole(tmp_path):
    state = with_teacher()
    del state[f"{IMAGE}decoder.proj.bias"], state["_ema"]["blocks.1.norm1.bias"]
    state[f"{IMAGE}decoder.blocks.2.0.bias"] = torch.ones(DIM)
    path = write(tmp_path / "a.pt", state)
    assert problems(path, pretext_model(), net=ENCODER) == [
        "_ema.blocks.1.norm1.bias: missing in the file",
        f"{IMAGE}decoder.proj.bias: missing in the file",
        f"{IMAGE}decoder.blocks.2.0.bias: in the file, but not in the model",
    ]
    load(path)  # a classifier has no use for either


# --- our own files ----------------------------------------------------------------------------------------


def encoder_file(folder: Path) -> tuple[MaskedLatentModel, Path]:
    path, model = folder / "encoder.safetensors", pretext_model(seed=7)
    card = EncoderCard(ENCODER.model_dump(mode="json"), 128, -4.5, 2.25, features().to_json(), CORPUS, {"seed": 3})
    save_weights(path, path.with_suffix(".json"), model, card)
    return model, path


def model_file(folder: Path) -> tuple[SSLAM, Path]:
    path, model = folder / "model.safetensors", classifier(seed=7)
    card = ModelCard(
        net=NET.model_dump(mode="json"),
        n_mels=128,
        classes=("a", "b", "c"),
        mean=-4.5,
        std=2.25,
        padding="mean",
        frontend=features().to_json(),
        long_clips="error",
        loss="bce",
        corpus=CORPUS,
        provenance={},
    )
    save_weights(path, path.with_suffix(".json"), model, card)
    return model, path


@torch.inference_mode()
def test_a_classifier_made_of_our_encoder_has_its_features(tmp_path):
    then, path = encoder_file(tmp_path)
    model, report = load(path)
    x = torch.randn(2, 64, 128, generator=torch.Generator().manual_seed(1))
    expected, found = then.eval().layers(x), model.eval().layers(x)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[layer], expected[layer]) for layer in expected)
    assert (report.kind, report.n_mels, report.n_frames, report.corpus) == (OWN_ENCODER, 128, 64, CORPUS)
    n_teacher = sum(name.startswith("teacher.") for name in then.state_dict())
    assert report.left_out == ("decoder.* (6 tensors)", f"teacher.* ({n_teacher} tensors)")
    assert report.fresh == HEAD


def test_our_encoder_goes_on_whole(tmp_path):
    then, path = encoder_file(tmp_path)
    model, report = load(path, pretext_model(), net=ENCODER)
    assert all(torch.equal(value, then.state_dict()[key]) for key, value in model.state_dict().items())
    assert (report.left_out, report.fresh) == ((), ())


def test_our_model_starts_a_pretraining_of_another_length(tmp_path):
    then, path = model_file(tmp_path)
    net = ENCODER.model_copy(update={"n_frames": 80})
    model, report = load(path, pretext_model(net), net=net)
    assert report.kind == OWN_MODEL
    assert report.left_out == tuple(sorted(HEAD))
    assert report.fresh == ("decoder.*", "teacher.* (a copy of the student)")
    state = model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in then.state_dict().items() if not is_head(key))


def test_our_encoder_for_another_front_end_is_refused(tmp_path):
    _, path = encoder_file(tmp_path)
    (told,) = problems(path, state=features(sample_rate=32000))
    assert told.startswith("sample rate (Hz)")


# --- what a pickle may do ---------------------------------------------------------------------------------


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self):
        return open, (str(self.made), "w")


@pytest.mark.parametrize("place", ["cfg", "model", "plain pickle"])
def test_a_hostile_file_is_refused_and_nothing_of_it_is_run(tmp_path, place):
    path, made = tmp_path / "a.pt", tmp_path / "made"
    content = {"model": fairseq(), "cfg": {}}
    content["model" if place == "model" else "cfg"]["x"] = Hostile(made)
    if place == "plain pickle":
        path.write_bytes(pickle.dumps(Hostile(made), protocol=2))
        pickle.loads(path.read_bytes())
    else:
        torch.save(content, path)
        torch.load(path, weights_only=False)
    assert made.exists(), "the file is not hostile"
    made.unlink()
    with pytest.raises(InputError, match=r"the file holds more than tensors \(\w+\.open\).*refused"):
        load(path)
    assert not made.exists()


@pytest.mark.parametrize("key", ["blocks.0.attn.qkv.weight", f"{IMAGE}extra_tokens"])
def test_a_nested_tensor_is_refused(tmp_path, key):
    state = fairseq() | {key: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])}
    assert problems(write(tmp_path / "a.pt", state)) == [f"{key!r}: a nested tensor"]


def test_a_teacher_whose_weights_have_no_names_is_refused(tmp_path):
    state = fairseq() | {"_ema": {1: torch.zeros(2)}}
    assert problems(write(tmp_path / "a.pt", state)) == ["1: its name is no text"]


def with_numpy_names(path: Path, old: bytes, new: bytes) -> None:
    """Change what a torch file calls something."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            if name.endswith("data.pkl"):
                assert old in data
                data = data.replace(old, new)
            archive.writestr(name, data)


def test_what_others_allow_in_this_process_is_not_called(tmp_path):
    path = write(tmp_path / "a.pt", fairseq())
    called = []
    theirs = [(lambda *args, i=i: called.append(i), name) for i in range(20) for name in ALLOWED]
    before = set(torch.serialization.get_safe_globals())
    with torch.serialization.safe_globals(theirs):
        load(path)
        assert set(torch.serialization.get_safe_globals()) == before | set(theirs)
    assert not called


def test_numbers_of_older_numpy_are_read_over(tmp_path):
    """Released files have fairseq's scores as numpy numbers, under the names that numpy had then."""
    path = write(tmp_path / "a.pt", fairseq())
    now = np.float64(0).__reduce__()[0].__module__.encode()
    with_numpy_names(path, b"c" + now + b"\nscalar", b"cnumpy.core.multiarray\nscalar")
    load(path)
    with_numpy_names(path, b"cnumpy.core.multiarray\nscalar", b"cnumpy.core.multiarray\nfromfile")
    with pytest.raises(InputError, match=r"more than tensors \(numpy\.core\.multiarray\.fromfile\)"):
        load(path)
