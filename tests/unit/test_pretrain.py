"""Pre-training: the clips of each epoch, resuming bit for bit, what stops it, what it leaves."""

import dataclasses
import itertools
import json
import logging
import math
import struct

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tensorboardX.proto import event_pb2

from helpers import kill, write_store
from tymbal.config.pretrain import Pretraining
from tymbal.errors import InputError, OutOfTime
from tymbal.files import write_json
from tymbal.fit_norm import fit_norm
from tymbal.models import sslam
from tymbal.models.ssast import SIZES, Size
from tymbal.norm import Scale
from tymbal.pretrain import pretrain as module
from tymbal.pretrain.check import to_mix
from tymbal.pretrain.pretrain import Inputs, Outputs, pretrain
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.pretrain.sslam import MaskedLatentModel
from tymbal.runs import PretrainRun
from tymbal.store import FeatureStore
from tymbal.tables import write_csv
from tymbal.train.data import ClipSet

F, CPU = 8, torch.device("cpu")
RUN = PretrainRun("lab", "ours", 3)
SIZES_OF = {"one": 23, "two": 12}  # clips of each data set
SMALL = (SIZES, Size(16, 2, 2, 2)), (sslam.SIZES, sslam.Size(16, 2, 2, 2, 3))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for sizes, size in SMALL:
        monkeypatch.setitem(sizes, "tiny", size)


@pytest.fixture
def inputs(tmp_path) -> Inputs:
    """Two data sets; clips of 9 to 20 frames; the last three of each are held out."""
    rng = np.random.default_rng(0)
    stores, rows = {}, []
    for dataset, n in SIZES_OF.items():
        clips = {f"clip{i:02d}": rng.normal(-8, 2, (9 + i % 12, F)) for i in range(n)}
        stores[dataset] = write_store(tmp_path / dataset, clips)
        rows += [
            {"dataset": dataset, "clip_id": c, "part": "val" if i >= n - 3 else "train"} for i, c in enumerate(clips)
        ]
    table = pd.DataFrame(rows)
    write_csv(table, tmp_path / "clips.csv")
    parts = [{"dataset": "one", "weight": 1.0}, {"dataset": "two", "weight": 2.5}]
    write_json(tmp_path / "corpus.json", {"transductive": False, "held_out": [], "parts": parts})
    joined = FeatureStore.joined(stores)
    train = table[table["part"] == "train"]
    fit_norm(joined, (train["dataset"] + ":" + train["clip_id"]).tolist()).write(tmp_path / "norm.json")
    return Inputs(tmp_path / "clips.csv", tmp_path / "corpus.json", stores, tmp_path / "norm.json", None)


OPTIONS = {"epochs": 4, "batch_size": 8, "schedule": {"name": "cosine", "warmup_steps": 2}}


def settings(**train) -> Pretraining:
    options = {**OPTIONS, **train}
    net = {"arch": "ssast", "size": "tiny", "patch": [4, 4], "n_frames": 16}
    masking = {"n_masked": 4, "cluster": [1, 2]}
    return Pretraining(frontend="f", corpus="lab", net=net, pretext={"masking": masking}, train=options)


def latent(stage: int, **train) -> Pretraining:
    """The same of a teacher and its student."""
    options = {**OPTIONS, **train}
    net = {"arch": "sslam", "size": "tiny", "patch": [4, 4], "n_frames": 16}
    pretext = {"stage": stage, "clones": 2, "teacher": {"start": 0.9, "end": 0.99, "steps": 10}}
    return Pretraining(frontend="f", corpus="lab", net=net, pretext=pretext, train=options)


def outputs(folder) -> Outputs:
    names = ("encoder.safetensors", "encoder.json", "history.csv", "run.json", "checkpoints", "tensorboard")
    folder.mkdir(exist_ok=True)
    return Outputs(*(folder / name for name in names))


def run(inputs, folder, options, deadline=None) -> Outputs:
    made = outputs(folder)
    pretrain(inputs, made, RUN, options, "code", CPU, deadline)
    return made


def run_small(inputs, folder, options):
    for sizes, size in SMALL:  # in a process without fixtures
        sizes["tiny"] = size
    run(inputs, folder, options)


TIMES = ["clips_per_s", "seconds"]


@pytest.mark.parametrize(
    "options",
    [
        settings(),
        settings(check_every=3, accumulate=2, preset="modern"),
        settings(schedule={"name": "plateau", "patience": 1, "warmup_steps": 0}, check_every=2),
        latent(1, check_every=2, accumulate=2),
        latent(2, check_every=3),
    ],
    ids=lambda options: f"{options.net.arch} {options.train.check_every}",
)
def test_resumed_equals_undisturbed_bit_for_bit(inputs, tmp_path, options, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    whole = run(inputs, tmp_path / "whole", options)
    call, count = module.Check.__call__, iter(range(1, 100))

    def interrupted(*arguments):
        if next(count) == 3:
            raise KeyboardInterrupt
        return call(*arguments)

    monkeypatch.setattr(module.Check, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(inputs, tmp_path / "cut", options)
    cut = run(inputs, tmp_path / "cut", options)

    assert "resuming after checkpoint 2" in caplog.text
    assert cut.encoder.read_bytes() == whole.encoder.read_bytes()
    histories = [pd.read_csv(made.history).drop(columns=TIMES) for made in (cut, whole)]
    pd.testing.assert_frame_equal(*histories)
    assert not cut.checkpoints.exists()


@pytest.mark.parametrize(
    "options", [settings(epochs=2, check_every=3), latent(2, epochs=2, check_every=3)], ids=["ssast", "sslam"]
)
def test_killed_and_out_of_time_it_ends_in_the_same_encoder(inputs, tmp_path, options):
    whole = run(inputs, tmp_path / "whole", options)
    checks = pd.read_csv(whole.history)["check"].max()
    kill(run_small, inputs, tmp_path / "cut", options, at="tymbal.train.loop.set_rate", call=5)  # in the second check
    for done in range(2, checks):
        with pytest.raises(OutOfTime, match=f"check {done} of {checks}"):
            run(inputs, tmp_path / "cut", options, deadline=-1e9)
    cut = run(inputs, tmp_path / "cut", options, deadline=-1e9)
    assert cut.encoder.read_bytes() == whole.encoder.read_bytes()
    pd.testing.assert_frame_equal(*(pd.read_csv(made.history).drop(columns=TIMES) for made in (cut, whole)))


def test_an_epoch_takes_each_clip_as_often_as_its_weight_says(inputs, tmp_path, monkeypatch):
    seen = []
    drawn = module.EpochPlan.windows
    monkeypatch.setattr(module.EpochPlan, "windows", lambda self, epoch: (seen.append(w := drawn(self, epoch)), w)[1])
    run(inputs, tmp_path / "run", settings())
    counts = [np.bincount(np.concatenate(windows), minlength=29) for windows in seen]
    assert len(counts) == 4
    for count in counts:
        assert (count[:20] == 1).all()  # of weight 1
        assert sorted(count[20:]) == [2] * 5 + [3] * 4  # nine of weight 2.5
    assert not np.array_equal(counts[0], counts[1])


def test_what_a_pretraining_leaves(inputs, tmp_path):
    made = run(inputs, tmp_path / "run", settings(check_every=2))
    history, record = pd.read_csv(made.history), json.loads(made.run.read_text())
    assert record["energy"].keys() == {"gpu_kwh", "cpu_kwh"} and record["energy"]["gpu_kwh"] is None  # without a GPU
    assert history["step"].tolist() == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert history["epoch"].tolist() == pytest.approx(np.arange(2, 21, 2) / 5)
    for name in ("loss", "nce", "accuracy", "mse"):
        assert {f"train_{name}", f"val_{name}"} <= set(history)
    assert np.allclose(history["train_loss"], history["train_nce"] + 10 * history["train_mse"])
    assert record["best_check"] == history["val_loss"].idxmin() + 1
    assert (record["n_train"], record["n_val"], record["n_patches"], record["n_masked"]) == (29, 6, 8, 4)
    card = json.loads(made.card.read_text())
    assert card["corpus"] == record["corpus"]
    again = outputs(tmp_path / "again")
    pretrain(dataclasses.replace(inputs, init=made.encoder), again, RUN, settings(), "code", CPU)
    assert json.loads(again.card.read_text())["corpus"]["before"] == card["corpus"]


@pytest.mark.parametrize("stage", [1, 2])
def test_with_a_teacher_the_last_check_is_kept(inputs, tmp_path, stage):
    made = run(inputs, tmp_path / "run", latent(stage))
    history, record = pd.read_csv(made.history), json.loads(made.run.read_text())
    assert history["best"].tolist() == [0, 0, 0, 1]
    assert (record["best_check"], record["kept_by"]) == (4, "round")
    parts = {
        1: ("global", "local"),
        2: ("global_unmixed", "local_unmixed", "global_mixed", "local_mixed", "local_retention"),
    }[stage]
    for side in ("train", "val"):
        assert np.allclose(history[f"{side}_loss"], history[[f"{side}_{part}" for part in parts]].sum(axis=1))
    weights = load_file(made.encoder)
    moved = {name.removeprefix("teacher.") for name in weights if name.startswith("teacher.")}
    assert moved == {name for name in weights if not name.startswith(("teacher.", "decoder."))}
    assert not any(torch.equal(weights[name], weights[f"teacher.{name}"]) for name in moved)


def test_the_teacher_is_moved_before_each_step_counted_over_the_checks(inputs, tmp_path, monkeypatch):
    steps, move = [], MaskedLatentModel.before_step
    monkeypatch.setattr(MaskedLatentModel, "before_step", lambda model, step: (steps.append(step), move(model, step)))
    made = run(inputs, tmp_path / "run", latent(1, accumulate=2, check_every=3))
    assert steps == list(range(pd.read_csv(made.history)["step"].iloc[-1])) == list(range(8))


def test_stage_2_goes_on_with_the_teacher_of_stage_1(inputs, tmp_path):
    first = run(inputs, tmp_path / "first", latent(1, epochs=1))
    still = latent(2, epochs=1).model_dump(mode="json")
    still["pretext"]["teacher"] |= {"start": 1.0, "end": 1.0}
    made = run(dataclasses.replace(inputs, init=first.encoder), tmp_path / "second", Pretraining(**still))
    before, after = load_file(first.encoder), load_file(made.encoder)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value) == name.startswith("teacher."), name
    init = json.loads(made.run.read_text())["init"]
    assert (init["fresh"], init["left_out"]) == ([], [])


def test_training_learns_the_pretext_task(inputs, tmp_path):
    made = run(inputs, tmp_path / "run", settings(epochs=30, optimizer={"lr": 0.003}))
    history = pd.read_csv(made.history)
    # Of noise only the mean can be known: what remains is its variance, 1/4 after dividing by two deviations.
    assert history["train_mse"].iloc[0] > 0.28
    assert history["train_mse"].iloc[-1] == pytest.approx(0.25, abs=0.01)


def test_activation_checkpointing_changes_nothing_but_memory(inputs, tmp_path):
    plain = run(inputs, tmp_path / "plain", settings())
    saving = run(inputs, tmp_path / "saving", settings(activation_checkpointing=True))
    assert saving.encoder.read_bytes() == plain.encoder.read_bytes()


def scalars(folder) -> list[tuple[int, str]]:
    """(step, tag) of all records in a folder's event files: 8 bytes of length, 4 of checksum, the event, 4 more."""
    found = []
    for file in folder.iterdir():
        data = file.read_bytes()
        while data:
            (n,) = struct.unpack("<Q", data[:8])
            event = event_pb2.Event.FromString(data[12 : 12 + n])
            found += [(event.step, value.tag) for value in event.summary.value]
            data = data[16 + n :]
    return found


def test_tensorboard_files_on_request(inputs, tmp_path, monkeypatch):
    assert not run(inputs, tmp_path / "without", settings()).tensorboard.exists()
    options = settings(tensorboard=True, check_every=1)
    call, count = module.Check.__call__, iter(range(1, 100))
    monkeypatch.setattr(module.Check, "__call__", lambda *a: 1 / 0 if next(count) == 6 else call(*a))
    with pytest.raises(ZeroDivisionError):
        run(inputs, tmp_path / "with", options)
    made = run(inputs, tmp_path / "with", options)
    written = scalars(made.tensorboard)
    assert sorted(step for step, tag in written if tag == "val/accuracy") == list(range(1, 21))
    assert len(written) == len(set(written))


def test_divergence_stops_with_a_remedy(inputs, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"loss of check 1 is (nan|inf).*Lower train\.optimizer\.lr"):
        run(inputs, tmp_path / "far", settings(optimizer={"lr": 1e30}))
    made = outputs(tmp_path / "late")
    call, count = module.Check.__call__, iter(range(1, 100))
    lost = {"val_loss": float("nan")}
    monkeypatch.setattr(module.Check, "__call__", lambda *a: {**call(*a), **(lost if next(count) == 2 else {})})
    with pytest.raises(InputError, match=r"val_loss of check 2 is nan.*have diverged\. Lower"):
        pretrain(inputs, made, RUN, settings(), "code", CPU)
    assert not made.encoder.exists()


@pytest.mark.parametrize("what", ["clips", "patches"])
def test_collapse_stops_with_a_remedy(inputs, tmp_path, monkeypatch, what):
    """Once training has begun, all clips give the same tokens, or all patches of a clip."""
    tokens, steps = MaskedPatchModel.tokens, []

    def collapsed(*args):
        made, sounding = tokens(*args)
        if steps and what == "patches":
            made = made.mean(dim=1, keepdim=True).expand_as(made)
        elif steps:
            made = torch.arange(made.shape[1])[:, None].expand_as(made).float()
        return made, sounding

    monkeypatch.setattr(MaskedPatchModel, "before_step", lambda self, step: steps.append(step))
    monkeypatch.setattr(MaskedPatchModel, "tokens", collapsed)
    with pytest.raises(InputError, match=rf"collapsed: .* between {what} by .*Lower train\.optimizer\.lr"):
        run(inputs, tmp_path / "flat", settings())


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("check_every", [None, 4])
def test_the_rate_ends_at_zero_with_the_last_step(inputs, tmp_path, accumulate, check_every):
    options = {"accumulate": accumulate, "check_every": check_every, "epochs": 6}
    history = pd.read_csv(run(inputs, tmp_path / "run", settings(**options)).history)
    steps = 6 * (42 // (8 * accumulate))  # 20 clips of weight 1, 9 of 2.5
    assert history["step"].iloc[-1] == steps
    assert history["epoch"].iloc[-1] == pytest.approx(6)
    rate = 1e-4 * 0.5 * (1 + math.cos(math.pi * (steps - 1 - 2) / (steps - 2)))
    assert history["lr"].iloc[-1] == pytest.approx(rate)


def test_an_epoch_too_small_for_its_settings_is_told(inputs, tmp_path):
    with pytest.raises(InputError, match="an epoch takes 42 clips, fewer than the 48 of one optimiser step"):
        run(inputs, tmp_path / "large", settings(batch_size=16, accumulate=3))
    write_json(inputs.corpus, {"parts": [{"dataset": "one", "weight": 1}, {"dataset": "two", "weight": 0.05}]})
    with pytest.raises(InputError, match=r"give no clip to an epoch(?s:.*)two: 9 clips of weight 0\.05"):
        run(inputs, tmp_path / "small", settings())


def test_data_sets_count_in_the_check_as_in_training(inputs, tmp_path, monkeypatch):
    """Three clips of each are held out, a batch each; an epoch takes 20 of the one and 22 of the other."""
    values = itertools.cycle([1.0, 3.0])
    losses = MaskedPatchModel.losses
    monkeypatch.setattr(
        MaskedPatchModel,
        "losses",
        lambda model, *a: losses(model, *a) if model.training else {"loss": torch.tensor(next(values))},
    )
    history = pd.read_csv(run(inputs, tmp_path / "run", settings(epochs=1)).history)
    assert history["val_loss"].iloc[0] == pytest.approx((20 * 1 + 22 * 3) / 42)


@pytest.mark.parametrize("stage, sizes", [(1, [2, 1]), (2, [3])])
def test_what_is_mixed_in_a_check_is_never_alone_and_always_the_same(inputs, tmp_path, monkeypatch, stage, sizes):
    """Three clips of each data set are held out, one more than a batch."""
    seen, losses = [], MaskedLatentModel.losses

    def noted(model, x, *a):
        if not model.training:
            seen.append(x.clone())
        return losses(model, x, *a)

    monkeypatch.setattr(MaskedLatentModel, "losses", noted)
    made = run(inputs, tmp_path / "run", latent(stage, epochs=2, batch_size=2))
    assert [len(x) for x in seen] == 2 * len(pd.read_csv(made.history)) * sizes
    once = 2 * len(sizes)
    assert all(torch.equal(x, again) for x, again in zip(seen[:once], seen[once:], strict=False))


@pytest.mark.parametrize(
    "n, size, expected", [(9, 8, [9]), (7, 2, [4, 3]), (13, 3, [5, 5, 3]), (6, 4, [4, 2]), (1, 4, [1])]
)
def test_clips_to_be_mixed_come_in_any_order_and_not_alone(tmp_path, n, size, expected):
    names = [f"clip{i:02d}" for i in range(n)]
    store = FeatureStore(write_store(tmp_path / "store", {name: np.full((16, F), i) for i, name in enumerate(names)}))
    clips = ClipSet(store, tuple(names), np.zeros((n, 0), np.float32), 16, Scale(0.0, 0.5, 0.0), CPU)
    batches, again, other = ([b.x[:, 0, 0].int().tolist() for b in to_mix(clips, size, seed)] for seed in (0, 0, 1))
    assert [len(batch) for batch in batches] == expected
    order = list(itertools.chain(*batches))
    assert sorted(order) == list(range(n))
    assert again == batches
    assert n == 1 or (order != sorted(order) and other != batches)


def test_what_changes_no_result_keeps_a_checkpoint(inputs, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    call, count = module.Check.__call__, iter(range(1, 100))
    monkeypatch.setattr(module.Check, "__call__", lambda *a: 1 / 0 if next(count) == 3 else call(*a))
    with pytest.raises(ZeroDivisionError):
        run(inputs, tmp_path / "run", settings())
    run(inputs, tmp_path / "run", settings(activation_checkpointing=True))
    assert "resuming after checkpoint 2" in caplog.text


def test_statistics_of_other_clips_are_refused(inputs, tmp_path):
    table = pd.read_csv(inputs.clips)
    table.loc[0, "part"] = "val"
    write_csv(table, inputs.clips)
    with pytest.raises(InputError, match="was fitted on other clips"):
        run(inputs, tmp_path / "run", settings())


def test_clips_too_short_to_mask_are_left_out_and_told(inputs, tmp_path, caplog):
    """Two patches high: two columns of four frames hold four patches; 9 frames hold them, 7 do not."""
    short = write_store(
        tmp_path / "short", {"clip00": np.zeros((7, F)), **{f"clip{i:02d}": np.eye(9, F) * i for i in range(1, 23)}}
    )
    table = pd.read_csv(inputs.clips)
    stores = {**inputs.stores, "one": short}
    train = table[table["part"] == "train"]
    fit_norm(FeatureStore.joined(stores), (train["dataset"] + ":" + train["clip_id"]).tolist()).write(inputs.norm)
    run(Inputs(inputs.clips, inputs.corpus, stores, inputs.norm, None), tmp_path / "run", settings(epochs=1))
    assert "1 clips shorter than 8 frames are left out, such as one:clip00" in caplog.text
