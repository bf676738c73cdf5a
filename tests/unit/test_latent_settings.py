"""Settings of EAT's and SSLAM's pretext task: what holds unless told, and what is refused."""

import pytest
from pydantic import ValidationError

from tymbal.config.pretrain import LatentPretext, PatchPretext, Pretraining


def pretraining(pretext: dict | None = None, train: dict | None = None, arch: str = "sslam") -> Pretraining:
    return Pretraining.model_validate(
        {
            "frontend": "fbank128",
            "corpus": "nights",
            "net": {"arch": arch},
            **({} if pretext is None else {"pretext": pretext}),
            "train": {"epochs": 1, "batch_size": 4, **(train or {})},
        }
    )


def test_the_net_decides_which_pretext_task_there_is():
    assert isinstance(pretraining().pretext, LatentPretext)
    assert isinstance(pretraining(arch="ssast").pretext, PatchPretext)
    with pytest.raises(ValidationError, match=r"pretext\.arch: found 'ssast', but net\.arch is 'sslam'"):
        pretraining({"arch": "ssast"})
    with pytest.raises(ValidationError, match="Extra inputs"):
        pretraining({"objective": "joint"})


@pytest.mark.parametrize("stage, rate, warmup, clones", [(1, 5e-4, 53_333, 16), (2, 5e-5, 25_000, 8)])
def test_unless_told_a_stage_is_as_published(stage, rate, warmup, clones):
    settings = pretraining({"stage": stage})
    assert settings.train.preset == {1: "eat", 2: "sslam"}[stage]
    assert settings.train.optimizer.model_dump() == {
        "name": "adamw",
        "lr": rate,
        "weight_decay": 0.05,
        "betas": (0.9, 0.95),
    }
    assert settings.train.clip_norm == 4
    assert int(settings.train.schedule.warmup_steps * {1: 400_000, 2: 200_000}[stage]) == warmup
    assert settings.pretext.n_clones == clones
    assert pretraining({"stage": stage, "clones": 3}).pretext.n_clones == 3
    assert Pretraining.model_validate(settings.model_dump(mode="json")) == settings  # as jobs read it


def test_another_preset_or_part_of_it_may_be_given():
    assert pretraining(train={"preset": "modern"}).train.clip_norm == 1
    assert pretraining({"stage": 2}, {"optimizer": {"lr": 1e-3}}).train.optimizer.weight_decay == 0.05


@pytest.mark.parametrize(
    "given, expected",
    [({}, 15 / 64), ({"preset": "paper"}, 1 / 4), ({"unmixed": 0.1}, 0.1)],
)
def test_the_preset_is_what_is_not_given_of_the_regions(given, expected):
    assert LatentPretext(stage=2, **given).share_unmixed == expected


@pytest.mark.parametrize(
    "given, message",
    [
        ({"preset": "paper"}, "preset: without use in stage 1"),
        ({"unmixed": 0.2}, "unmixed: without use in stage 1"),
        ({"weights": {"global_mixed": 2}}, r"weights\.global_mixed: without use in stage 1"),
        ({"weights": {"local_retention": 0}, "unmixed": 0.2}, r"weights\.local_retention, unmixed: without use"),
        ({"weights": {"global_unmixed": 0, "local_unmixed": 0}}, "weights: all are 0"),
        ({"weights": {"global_unmixed": -1}}, "greater than or equal to 0"),
        (
            {"stage": 2, "preset": "paper", "unmixed": 0.2},
            "preset: without use, as it decides of nothing but `unmixed`",
        ),
        (
            {"stage": 2, "weights": dict.fromkeys(("global_mixed", "local_mixed", "local_retention"), 0)},
            "weights: all of the mixtures are 0",
        ),
        ({"stage": 2, "unmixed": 0.5}, "less than 0.5"),
        ({"stage": 3}, "1 or 2"),
        ({"clones": 0}, "greater than 0"),
        ({"teacher": {"start": 0.9, "end": 0.8}}, "end: found 0.8; the decay rises from start, here 0.9"),
        ({"teacher": {"end": 1.1}}, "less than or equal to 1"),
        ({"masking": {"visible": 1}}, "less than 1"),
        ({"masking": {"n_masked": 100}}, "Extra inputs"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValidationError, match=message) as error:
        pretraining(given)
    assert error.value.error_count() == 1


def test_stage_2_needs_clips_to_mix():
    with pytest.raises(ValidationError, match=r"train\.batch_size: found 1, but stage 2 mixes"):
        pretraining({"stage": 2}, {"batch_size": 1})
    pretraining({"stage": 1}, {"batch_size": 1})


def test_progress_cannot_be_told_from_losses_against_a_teacher_that_moves():
    for train in ({"preset": "ssast"}, {"schedule": {"name": "plateau"}}):
        with pytest.raises(ValidationError, match=r"train\.schedule\.name: found 'plateau'"):
            pretraining(train=train)
