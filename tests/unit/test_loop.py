"""Training learns, and a stopped and resumed training equals an undisturbed one bit for bit."""

import dataclasses
import logging
import math
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from helpers import write_store
from tymbal.config.models import Augment, Finetuning, LayeredOptimizer, StepSchedule
from tymbal.errors import InputError, OutOfTime
from tymbal.inference import mean_loss, predict, scores
from tymbal.norm import Scale
from tymbal.store import FeatureStore
from tymbal.train import loop, resume
from tymbal.train.augment import augment
from tymbal.train.data import ClipSet, epoch_order
from tymbal.train.loop import Objective, fit
from tymbal.train.optim import adam, learning_rate
from tymbal.train.resume import Checkpoints

N, T, F, C = 21, 12, 8, 3
CPU = torch.device("cpu")


class Net(nn.Module):
    """Small enough to train in a moment, with parameter names as the real model's."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patch_embed = nn.Linear(F, 16)
        self.head = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, C))

    def forward(self, x, n_frames=None):
        return self.head(self.patch_embed(x).relu().mean(dim=1))


@pytest.fixture
def clips(tmp_path):
    """Three classes, told apart by which mel bins are loud; lengths differ."""
    rng = np.random.default_rng(0)
    features = {}
    for i in range(N):
        frames = rng.normal(-8, 1, (rng.integers(6, 16), F))
        frames[:, i % C] += 6
        features[f"clip{i:02d}"] = frames
    store = FeatureStore(write_store(tmp_path / "store", features))
    labels = np.eye(C, dtype=np.float32)[np.arange(N) % C]
    return ClipSet(store, tuple(features), labels, T, Scale(-8.0, 2.0, 0.0), CPU)


def settings(**changes) -> Finetuning:
    return Finetuning(
        **{
            "loss": "bce",
            "epochs": 6,
            "batch_size": 4,
            "optimizer": LayeredOptimizer(lr=0.02),
            "schedule": StepSchedule(name="step", start=3, every=1),
            "augment": Augment(time_mask=4, mixup=0.5, noise=True, roll=2),
            **changes,
        }
    )


def train(clips, folder, options, stop_after=None, seed=0, fingerprint="run", deadline=None, lasting=()):
    """Train `Net`; `stop_after` interrupts it while that epoch is being validated; epochs draw from `lasting`."""
    model = Net()
    values, lasting = iter(range(1, 100)), iter(lasting)

    def batches(epoch):
        next(lasting, None)
        rng = np.random.default_rng([seed, epoch])
        for batch in clips.batches(epoch_order(clips, "none", seed, epoch), options.batch_size):
            yield augment(batch, options.augment, clips.scale, rng)

    def validate():
        if next(values) == stop_after:
            raise KeyboardInterrupt
        logits = predict(model, clips, 8, None)
        return {"val_loss": mean_loss(torch.from_numpy(logits), torch.from_numpy(clips.labels), "bce").item()}

    n_batches = -(-len(clips.clip_ids) // options.batch_size)
    objective = Objective(
        round_name="epoch",
        batches=batches,
        rounds=options.epochs,
        n_batches=n_batches,
        n_batches_last=n_batches,
        loss=lambda batch: {"loss": mean_loss(model(batch.x), batch.y, "bce")},
        validate=validate,
        select="val_loss",
        larger_is_better=False,
    )
    optimizer = adam({1.0: list(model.parameters())}, options.optimizer)

    def rate(step, history):
        return learning_rate(options.optimizer.lr, options.schedule, step, n_batches, options.epochs)

    checkpoints = Checkpoints(folder, fingerprint)
    state = fit(
        model, objective, optimizer, rate, options, options.early_stopping, checkpoints, CPU, None, deadline=deadline
    )
    return model, state


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


TIMES = {"clips_per_s", "seconds"}


def figures(state):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in state.history]


@pytest.mark.parametrize("changes", [{}, {"accumulate": 3}, {"optimizer": LayeredOptimizer(name="adamw", lr=0.02)}])
def test_resumed_equals_undisturbed_bit_for_bit(clips, tmp_path, changes, caplog):
    caplog.set_level(logging.INFO)
    options = settings(**changes)
    whole_model, whole = train(clips, tmp_path / "whole", options)
    with pytest.raises(KeyboardInterrupt):
        train(clips, tmp_path / "cut", options, stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        train(clips, tmp_path / "cut", options, stop_after=2)  # epochs 3 and half of 4
    cut_model, cut = train(clips, tmp_path / "cut", options)
    assert "resuming after checkpoint 3" in caplog.text
    assert figures(cut) == figures(whole)
    assert same(cut_model, whole_model)


def test_stopped_between_the_best_weights_and_the_state(clips, tmp_path, monkeypatch):
    whole_model, whole = train(clips, tmp_path / "whole", settings())
    save, calls = resume.save_file, iter(range(1, 100))

    def interrupted(*arguments, **options):
        if next(calls) == 4:  # the second round's state; its weights are in place as the best
            raise KeyboardInterrupt
        save(*arguments, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(resume, "save_file", interrupted)
        train(clips, tmp_path / "cut", settings())
    assert (tmp_path / "cut" / "best-000002.safetensors").exists()
    model, state = train(clips, tmp_path / "cut", settings())
    assert figures(state) == figures(whole)
    assert same(model, whole_model)


def test_a_deadline_gone_by_leaves_one_round_an_attempt(clips, tmp_path):
    options = settings(epochs=3)
    whole_model, whole = train(clips, tmp_path / "whole", options)
    for done in (1, 2):
        with pytest.raises(OutOfTime, match=rf"epoch {done} of 3 is finished and saved in {tmp_path / 'cut'}"):
            train(clips, tmp_path / "cut", options, deadline=-1e9)
    model, state = train(clips, tmp_path / "cut", options, deadline=-1e9)  # all rounds done: not out of time
    assert figures(state) == figures(whole)
    assert same(model, whole_model)
    again, _ = train(clips, tmp_path / "cut", options, deadline=-1e9)
    assert same(again, whole_model)


@pytest.mark.parametrize("known", [True, False])
def test_energy_is_summed_over_attempts_if_all_of_them_know_it(clips, tmp_path, monkeypatch, known):
    """Each round uses 2 kWh by the GPU and 1 kWh by processors; the first attempt may not know the latter."""

    def meter(kwh):
        return lambda device: nullcontext(SimpleNamespace(used=lambda: kwh))

    monkeypatch.setattr(loop, "Meter", meter([2.0, 1.0 if known else math.nan]))
    with pytest.raises(OutOfTime):
        train(clips, tmp_path, settings(epochs=3), deadline=-1e9)
    monkeypatch.setattr(loop, "Meter", meter([2.0, 1.0]))
    _, state = train(clips, tmp_path, settings(epochs=3))
    assert state.kwh == pytest.approx([6.0, 3.0 if known else math.nan], nan_ok=True)


@pytest.mark.parametrize(
    "deadline, rounds",
    [(39.9, 1), (40, 2), (44.9, 2), (45, 3), (50, 4)],  # rounds end at 20, 25, 30 and 35; one of 20 must still fit
)
def test_a_round_begins_only_if_one_as_long_as_the_longest_fits(clips, tmp_path, monkeypatch, deadline, rounds):
    now = 0.0

    def pass_time():
        nonlocal now
        for seconds in (20, 5, 5, 5, 5, 5):
            now += seconds
            yield

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now))
    with pytest.raises(OutOfTime, match=rf"epoch {rounds} of 6 .* longest epoch took 0\.3 min"):
        train(clips, tmp_path / "run", settings(), deadline=deadline, lasting=pass_time())


def test_early_stopping_is_not_out_of_time(clips, tmp_path):
    options = settings(optimizer=LayeredOptimizer(lr=1e-12), augment=Augment(), early_stopping=1)
    with pytest.raises(OutOfTime):
        train(clips, tmp_path / "run", options, deadline=-1e9)
    _, state = train(clips, tmp_path / "run", options, deadline=-1e9)
    assert state.round == state.best_round + 1


def test_a_checkpoint_of_another_run_is_not_continued(clips, tmp_path, caplog):
    options = settings(epochs=2)
    fresh, _ = train(clips, tmp_path / "a", options, seed=1)
    train(clips, tmp_path / "b", options, seed=0)
    model, _ = train(clips, tmp_path / "b", options, seed=1, fingerprint="other")
    assert "starting afresh" in caplog.text
    assert same(model, fresh)


def test_training_learns_and_keeps_the_best_epoch(clips, tmp_path):
    model, state = train(
        clips, tmp_path / "run", settings(epochs=15, schedule=StepSchedule(name="step", start=15, every=1))
    )
    losses = [row["val_loss"] for row in state.history]
    assert losses[-1] < losses[0] / 2
    assert state.best_round == int(np.argmin(losses)) + 1
    logits = predict(model, clips, 8, None)
    assert (scores(logits, "bce").argmax(axis=1) == clips.labels.argmax(axis=1)).all()
    value = mean_loss(torch.from_numpy(logits), torch.from_numpy(clips.labels), "bce").item()
    assert value == min(losses)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"last.safetensors", f"best-{state.best_round:06d}.safetensors"}


def test_early_stopping_also_after_a_resume(clips, tmp_path):
    options = settings(epochs=30, optimizer=LayeredOptimizer(lr=1e-12), augment=Augment(), early_stopping=2)
    _, state = train(clips, tmp_path / "run", options)
    assert state.round == state.best_round + 2 < 30
    _, again = train(clips, tmp_path / "run", options)
    assert dataclasses.replace(again, kwh=state.kwh) == state  # energy that is not known equals nothing


def test_accumulated_batches_equal_one_large_batch(clips, tmp_path):
    clips = dataclasses.replace(clips, clip_ids=clips.clip_ids[:20], labels=clips.labels[:20])
    options = {"augment": Augment(), "epochs": 1}
    large, _ = train(clips, tmp_path / "large", settings(batch_size=20, **options))
    small, _ = train(clips, tmp_path / "small", settings(batch_size=4, accumulate=5, **options))
    for a, b in zip(large.parameters(), small.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_clipping_bounds_the_step(clips, tmp_path):
    options = {
        "augment": Augment(),
        "epochs": 1,
        "batch_size": 21,
        "optimizer": LayeredOptimizer(lr=1.0, weight_decay=0),
    }
    steps = {}
    for norm in (None, 1e-12):  # far below Adam's epsilon, so that the step is small too
        model, _ = train(clips, tmp_path / str(norm), settings(clip_norm=norm, **options))
        steps[norm] = max((a - b).abs().max() for a, b in zip(model.parameters(), Net().parameters(), strict=True))
    assert steps[1e-12] < 1e-3 < 0.1 < steps[None]


def test_divergence_is_told_with_its_remedy(clips, tmp_path):
    with pytest.raises(InputError, match=r"loss of epoch \d is (nan|inf).*Lower train\.optimizer\.lr"):
        train(clips, tmp_path / "run", settings(optimizer=LayeredOptimizer(lr=1e30), augment=Augment()))


def test_scores_are_probabilities():
    logits = np.array([[0.0, 100.0, -100.0]], dtype=np.float32)
    assert scores(logits, "bce")[0].tolist() == [0.5, 1.0, pytest.approx(0, abs=1e-30)]
    assert scores(logits, "ce")[0].tolist() == [pytest.approx(0, abs=1e-30), 1.0, pytest.approx(0, abs=1e-30)]


def test_loss_takes_logits_and_soft_labels():
    perfect = torch.tensor([[20.0, -20.0]])
    y = torch.tensor([[1.0, 0.0]])
    assert mean_loss(perfect, y, "bce") < 1e-6  # not near ln 2, as with a sigmoid applied twice
    assert mean_loss(perfect, y, "ce") < 1e-6
    soft = torch.tensor([[0.6]])
    assert mean_loss(torch.logit(soft), soft, "bce").item() == pytest.approx(-0.6 * np.log(0.6) - 0.4 * np.log(0.4))
