"""Recipes by name fill in what is not given, and can be had in a configuration."""

from typing import get_args

import pytest

from helpers import REPO, merged_config
from tymbal.config import Config, load
from tymbal.config.models import Augment, Finetuning, LayeredOptimizer, StepSchedule
from tymbal.config.presets import FINETUNING, Preset
from tymbal.errors import InputError

BCE, CE = {"loss": "bce", "select_by": "mAP"}, {"loss": "ce", "select_by": "accuracy", "label_smoothing": 0.1}
WORDS = {"loss": "bce", "select_by": "accuracy"}
AS2M = BCE | {"sampling": "balanced", "epoch_clips": 200_000}
FULL, LINEAR = (0.65, 0.1, False), (1.0, 0, True)  # layer decay, share of steps that warm up, frozen encoder

# As published (AS-2M, AS-20K, ESC-50, KS2, SPASS) and as their stand-ins: highest rate, epochs, clips of a batch,
# largest masks, alpha of mixup (0: none), noise and roll, the rest.
PUBLISHED = {
    "sslam-as2m": (FULL, 5e-5, 192, 96, 0.2, 0.8, False, 0, AS2M),
    "sslam-as20k": (FULL, 5e-5, 93, 48, 0.2, 0.8, False, 0, BCE),
    "sslam-as20k-linear": (LINEAR, 1e-3, 50, 48, 0.2, 0.8, False, 0, BCE),
    "sslam-esc50": (FULL, 5e-5, 120, 48, 0.4, 0, False, 0, CE),
    "sslam-ks1": (FULL, 5e-5, 50, 48, 0.2, 0.8, True, 10, WORDS),
    "sslam-ks2": (FULL, 2e-4, 121, 256, 0.2, 0.8, True, 10, WORDS),
    "sslam-spass": (FULL, 5e-5, 50, 48, 0.2, 0.8, False, 0, BCE),
    "sslam-spass-linear": (LINEAR, 1e-3, 50, 48, 0.2, 0.8, False, 0, BCE),
    "sslam-idmt-desed-fl": (FULL, 5e-5, 50, 48, 0.2, 0.8, False, 0, BCE),
    "sslam-idmt-desed-fl-linear": (LINEAR, 1e-3, 50, 48, 0.2, 0.8, False, 0, BCE),
    "sslam-urban-sed": (FULL, 5e-5, 50, 48, 0.2, 0.8, False, 0, BCE),
    "sslam-urban-sed-linear": (LINEAR, 1e-3, 50, 48, 0.2, 0.8, False, 0, BCE),
}


# Of SSAST's scripts (its table of fine-tuning), and of SUPERB's for KS1: 20,000 steps of 32 of 51,094 clips. Frames,
# highest rate, epochs, clips of a batch, largest masks, probability of mixup, noise and roll, where the rate falls.
SSAST = {
    "ssast-esc50": (
        512,
        1e-4,
        50,
        48,
        (24, 96),
        0,
        (True, 10),
        (6, 1, 0.85, 0),
        {"loss": "ce", "select_by": "accuracy"},
    ),
    "ssast-sc2": (128, 2.5e-4, 30, 128, (48, 48), 0.6, (True, 10), (5, 1, 0.85, 1000), WORDS),
    "ssast-as20k": (1024, 5e-5, 25, 12, (48, 192), 0.5, (False, 0), (10, 5, 0.5, 0), BCE),
}
KS1 = {"loss": "ce", "select_by": "accuracy", "clip_norm": 1.0, "sampling": "balanced"}


def recipe(preset: str, **given) -> Finetuning:
    return Finetuning.model_validate({"preset": preset, **given})


def config(train, **net) -> Config:
    """One model on ESC-10: single-label data, which every recipe may learn."""
    raw = merged_config(REPO / "config" / "config.yaml", REPO / "config" / "esc10.yaml")
    raw["models"] = {"m": {"frontend": "fbank128", "net": {"size": "tiny", **net}, "train": train}}
    raw["experiments"] = [{"dataset": "esc10", "model": "m"}]
    return load(raw)


def configured(n_frames: int = 1024, **train) -> Finetuning:
    return config(train, arch="ssast", n_frames=n_frames).models["m"].train


def test_each_name_has_a_recipe():
    assert set(get_args(Preset)) == set(FINETUNING) == {*PUBLISHED, *SSAST, "ssast-sc1"}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_a_recipe_is_the_published_one(preset):
    (decay, warmup, frozen), lr, epochs, batch_size, mask, alpha, noise, roll, rest = PUBLISHED[preset]
    betas = (0.9, 0.95)
    expected = Finetuning(
        epochs=epochs,
        batch_size=batch_size,
        freeze_encoder=frozen,
        optimizer={"name": "adamw", "lr": lr, "layer_decay": decay, "weight_decay": 0.05, "betas": betas},
        schedule={"name": "cosine", "warmup_steps": warmup, "min_lr": 1e-6},
        augment={
            "clip_roll": True,
            "gain": True,
            "batch_mixup": {"probability": 0.9, "alpha": alpha} if alpha else None,
            "freq_mask": mask,
            "time_mask": mask,
            "mask_fill": "mean",
            "noise": noise,
            "roll": roll,
        },
        **rest,
    )
    assert recipe(preset) == expected.model_copy(update={"preset": preset})


@pytest.mark.parametrize("preset", SSAST)
def test_a_recipe_of_ssast_is_the_published_one(preset):
    n_frames, lr, epochs, batch_size, masks, mixup, (noise, roll), (start, every, gamma, warmup), rest = SSAST[preset]
    expected = Finetuning(
        epochs=epochs,
        batch_size=batch_size,
        optimizer={"name": "adam", "lr": lr, "weight_decay": 5e-7, "betas": (0.95, 0.999)},
        schedule={"name": "step", "start": start, "every": every, "gamma": gamma, "warmup_steps": warmup},
        augment={"freq_mask": masks[0], "time_mask": masks[1], "mixup": mixup, "noise": noise, "roll": roll},
        **rest,
    )
    assert configured(n_frames, preset=preset) == recipe(preset) == expected.model_copy(update={"preset": preset})


def test_keywords_of_superb_are_learnt_at_one_rate_in_as_many_steps():
    train = recipe("ssast-sc1")
    assert train.epochs == train.schedule.start == round(20_000 * 32 / 51_094)  # so the rate never falls
    assert train.optimizer == LayeredOptimizer(name="adam", lr=1e-4, weight_decay=0, betas=(0.9, 0.999))
    assert (train.batch_size, train.augment) == (32, Augment())
    assert {key: getattr(train, key) for key in KS1} == KS1


@pytest.mark.parametrize("preset", PUBLISHED)
def test_a_recipe_needs_nothing_else(preset):
    """At any length: masks are shares of it."""
    train = configured(20, preset=preset)
    assert train == recipe(preset)
    assert Finetuning.model_validate(train.model_dump(mode="json")) == train  # as scripts and records have it


def test_what_is_given_counts_key_by_key():
    whole = recipe("sslam-spass")
    assert recipe("sslam-spass", epochs=7) == whole.model_copy(update={"epochs": 7})
    assert recipe("sslam-spass", optimizer={"lr": 1e-4}).optimizer == whole.optimizer.model_copy(update={"lr": 1e-4})
    changed = recipe("sslam-spass", augment={"batch_mixup": None}).augment
    assert changed == whole.augment.model_copy(update={"batch_mixup": None})
    assert recipe("sslam-spass", schedule={"warmup_steps": 100}).schedule.warmup_steps == 100


def test_a_block_of_another_kind_stays_as_given():
    train = recipe(
        "sslam-spass",
        optimizer={"name": "adam", "lr": 0.01},
        schedule={"name": "step", "start": 1, "every": 2},
        augment=Augment(noise=True),
    )
    assert train.optimizer == LayeredOptimizer(name="adam", lr=0.01)
    assert train.schedule == StepSchedule(name="step", start=1, every=2)
    assert train.augment == Augment(noise=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "sslam"}, "models.m.train.preset: found 'sslam'"),
        ({"preset": ["sslam-spass"]}, "models.m.train.preset: found ['sslam-spass']"),
        ({"schedule": {"warmup_steps": -1}}, "models.m.train.schedule.warmup_steps: found -1"),
        ({"schedule": {"warmup_steps": 1.5}}, "models.m.train.schedule.warmup_steps: found 1.5"),
        ({"schedule": {"min_lr": 5e-5}}, "models.m.train.schedule.min_lr: 5e-05 is not below optimizer.lr (5e-05)"),
        ({"augment": {"mixup": 0.5}}, "models.m.train.augment.mixup: clips are mixed by batch_mixup already"),
        ({"augment": {"batch_mixup": {"alpha": 1}}}, "models.m.train.augment.batch_mixup.probability: missing"),
        ({"augment": {"freq_mask": 0, "time_mask": 0}}, "models.m.train.augment.mask_fill: without use"),
        ({"label_smoothing": 0.1}, "models.m.train.label_smoothing: without use, as the loss is 'bce'"),
        ({"freeze_encoder": True}, "models.m.train.optimizer.layer_decay: without use, as the encoder is frozen"),
        ({"augment": {"time_mask": 26}, "n_frames": 20}, "models.m.train.augment.time_mask: 26 is wider"),
        ({"augment": {"time_mask": 1.5}}, "models.m.train.augment.time_mask: found 1.5"),
        ({"augment": {"freq_mask": -0.2}}, "models.m.train.augment.freq_mask: found -0.2"),
        ({"epoch_clips": 0}, "models.m.train.epoch_clips: found 0"),
    ],
)
def test_each_mistake_is_named_alone(given, message):
    with pytest.raises(InputError) as error:
        configured(**{"preset": "sslam-spass", **given})
    assert message in str(error.value)
    assert len(error.value.cases) == 1


def test_stochastic_depth_of_a_frozen_encoder_is_refused():
    """If it was given; a configuration that names every key, as records do, is read all the same."""
    with pytest.raises(InputError, match=r"models\.m\.net\.drop_path: without use"):
        config({"preset": "sslam-spass-linear"}, arch="sslam", drop_path=0.2)
    assert config({"preset": "sslam-spass"}, arch="sslam", drop_path=0.2).models["m"].net.drop_path == 0.2
    frozen = config({"preset": "sslam-spass-linear"}, arch="sslam")
    assert load(frozen.model_dump(mode="json")) == frozen
