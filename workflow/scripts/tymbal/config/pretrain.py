"""Settings of self-supervised pre-training: the corpus, the pretext task, the training."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tymbal.config.base import Name, Positive, Settings, Share
from tymbal.config.models import CosineSchedule, Init, Optimizer, PlateauSchedule, SsastEncoder, Training

WITHOUT_EFFECT = {"tensorboard", "activation_checkpointing"}  # keys of `train` that change no result


class CorpusPart(Settings):
    """One data set of a corpus; its labels, if any, are not read."""

    dataset: Name
    weight: Annotated[float, Field(gt=0)] = 1.0  # how often an epoch takes each clip, on average


class Corpus(Settings):
    """Clips to pre-train on, of one or several data sets; never those that a model made from them is tested on."""

    parts: Annotated[tuple[CorpusPart, ...], Field(min_length=1)]
    val: Share = 0.05  # of the recordings, on which only the pretext task is checked
    transductive: bool = False  # take test clips too (without labels); the report then says so
    seed: int = 0  # of the validation part

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of its data sets."""
        return tuple(part.dataset for part in self.parts)


class Masking(Settings):
    """Which patches are hidden."""

    # Patches of an input of full length; of a shorter clip the same share. null: 25 of 32, as SSAST's 400 of 512.
    n_masked: Positive | None = None
    # Side of the square blocks, in patches, drawn anew for each clip. null: 3 to 5, or 1 if a patch has all mel bins.
    cluster: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    # `even`: blocks end at the edges and every patch is masked equally often; `original`: as SSAST's released code.
    sampling: Literal["even", "original"] = "even"


class Pretext(Settings):
    """Masked spectrogram patch modelling (SSAST, Algorithm 1)."""

    objective: Literal["joint", "discriminative", "generative"] = "joint"
    mse_weight: Annotated[float, Field(gt=0)] = 10.0  # lambda: weight of the reconstruction in the joint objective
    # What a prediction competes over: all masked patches as `targets` (the paper), or, for each patch, all
    # `predictions` (the released code).
    contrast: Literal["targets", "predictions"] = "targets"
    passes: Literal[1, 2] = 1  # 2: each objective has a pass and a mask of its own (the released code)
    masking: Masking = Masking()

    @model_validator(mode="after")
    def _all_used(self) -> Self:
        defaults = type(self).model_fields
        unused = {"joint": (), "discriminative": ("mse_weight", "passes")}.get(
            self.objective, ("mse_weight", "passes", "contrast")
        )
        for key in unused:
            if getattr(self, key) != defaults[key].default:
                raise ValueError(f"{key}: without use, as the objective is {self.objective!r}")
        if self.masking.sampling == "original" and self.masking.cluster is not None:
            raise ValueError("masking.cluster: sampling 'original' always draws from 3, 4 and 5; leave it out")
        return self


PRESETS: dict[str, dict[str, Any]] = {
    # SSAST, section 3.1, and its released scripts for the base model.
    "ssast": {
        "optimizer": {"name": "adam", "lr": 1e-4, "weight_decay": 5e-7, "betas": (0.95, 0.999)},
        "schedule": {"name": "plateau", "patience": 2, "warmup_steps": 1000},
    },
    # As masked autoencoders are trained today (He et al., CVPR 2022; Huang et al., NeurIPS 2022).
    "modern": {
        "optimizer": {"name": "adamw", "lr": 5e-4, "weight_decay": 0.05, "betas": (0.9, 0.95)},
        "schedule": {"name": "cosine", "warmup_steps": 1000},
        "clip_norm": 1.0,
    },
}


class PretextTraining(Training):
    """How an encoder is pre-trained."""

    preset: Literal["ssast", "modern"] = "ssast"  # what is not given of optimizer, schedule and clip_norm
    optimizer: Optimizer
    schedule: Annotated[PlateauSchedule | CosineSchedule, Field(discriminator="name")]
    check_every: Positive | None = None  # optimiser steps between checks; null: an epoch, 1000 at most
    activation_checkpointing: bool = False  # less memory for a third more time
    tensorboard: bool = False  # also write the history for TensorBoard

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        name = raw.get("preset", "ssast")
        preset = PRESETS[name if name in tuple(PRESETS) else "ssast"]
        blocks = {key: _filled(raw[key], preset[key]) for key in ("optimizer", "schedule") if key in raw}
        return {**preset, **raw, **blocks}


def _filled(given: Any, preset: Mapping[str, Any]) -> Any:
    """What is given of a block, the rest as in the preset; a block of another kind stays as it is."""
    same_kind = isinstance(given, Mapping) and given.get("name", preset["name"]) == preset["name"]
    return {**preset, **given} if same_kind else given


class Pretraining(Settings):
    """A named pre-training: `init: {ssl: NAME}` of a model starts from it."""

    frontend: Name
    corpus: Name
    net: SsastEncoder
    init: Init = "scratch"
    pretext: Pretext = Pretext()
    train: PretextTraining
