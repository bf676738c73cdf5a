"""Settings of self-supervised pre-training: the corpus, the pretext task, the training."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tymbal.config.base import Name, Positive, Settings, Share
from tymbal.config.models import CosineSchedule, Encoder, Init, Optimizer, PlateauSchedule, Training
from tymbal.config.presets import filled

WITHOUT_EFFECT = {"tensorboard", "activation_checkpointing"}  # keys of `train` that change no result
FEWEST_PATCHES = 4  # that a clip must hold, so that some are hidden and some are seen
FEWEST_COLUMNS = 3  # of patches that a mixture must have: two regions of one clip alone, and one of both


class CorpusPart(Settings):
    """One data set of a corpus; its labels, if any, are not read."""

    dataset: Name
    """name of a data set"""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """how often an epoch takes each clip of that data set, on average: 0.25 takes another quarter of them in each"""


class Corpus(Settings):
    """Clips to pre-train on, of one or several data sets; never those that a model made from them is tested on."""

    parts: Annotated[tuple[CorpusPart, ...], Field(min_length=1)]
    """the data sets that it is made of"""
    val: Share = 0.05
    """share of the recordings on which only the pretext task is checked"""
    transductive: bool = False
    """`true`: take test clips too, without their labels; the report then says so"""
    seed: int = 0
    """of the choice of `val`"""

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of its data sets."""
        return tuple(part.dataset for part in self.parts)


class Masking(Settings):
    """Which patches are hidden."""

    n_masked: Positive | None = None
    """masked patches of an input of full length; of a shorter clip the same share. `null`: 25 of 32, SSAST's 400 of
    512"""
    cluster: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """sides of the square blocks that are masked, in patches; one is drawn for each clip. `null`: `[3, 4, 5]`, or
    single patches if one holds all mel bins"""
    sampling: Literal["even", "original"] = "even"
    """`even`: blocks end at the edges and no patch is favoured; `original`: as the released code, with its
    peculiarities"""


class PatchPretext(Settings):
    """Masked spectrogram patch modelling (SSAST, Algorithm 1)."""

    arch: Literal["ssast"] = "ssast"  # of the net; not to be given
    objective: Literal["joint", "discriminative", "generative"] = "joint"
    """`joint` (tell which patch it was, and rebuild it), `discriminative` or `generative` alone"""
    mse_weight: Annotated[float, Field(gt=0)] = 10.0
    """λ, weight of the reconstruction in `joint`"""
    contrast: Literal["targets", "predictions"] = "targets"
    """what a prediction competes over: all masked patches of the clip as `targets` (the paper), or, for each patch,
    all `predictions` (the released code); see [the two contrasts](../docs/pretraining.md#the-two-contrasts)"""
    passes: Literal[1, 2] = 1
    """1: one mask and one pass of the encoder serve both objectives (the paper); 2: one each (the released code)"""
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


class BlockMasking(Settings):
    """Which patches are visible: square blocks, all else is hidden (inverse block masks of data2vec 2.0 and EAT)."""

    visible: Share = 0.2
    """share of the patches that the student sees"""
    block: Positive = 5
    """side, in patches, of the square blocks that are visible"""
    surplus: Annotated[float, Field(ge=0, lt=1)] = 0.07
    """as many blocks are drawn as would cover this share more than is visible, if they did not overlap; what is too
    much or too little is taken away or added at random"""


class Teacher(Settings):
    """How slowly the teacher follows the student: its decay at an update rises linearly from `start` to `end`."""

    start: Annotated[float, Field(ge=0, le=1)] = 0.9998
    """how much the teacher keeps of itself at the first optimiser step; rises linearly"""
    end: Annotated[float, Field(ge=0, le=1)] = 0.99999
    """how much it keeps of itself in the end"""
    steps: Positive = 100_000
    """optimiser steps over which that rises from `start` to `end`"""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"end: found {self.end:g}; the decay rises from start, here {self.start:g}")
        return self


class Weights(Settings):
    """Weight of each objective (SSLAM, Algorithm 1): `global` of the class token, `local` of the hidden patches."""

    global_unmixed: Annotated[float, Field(ge=0)] = 1.0
    """weight of what is predicted of a clip from the class token"""
    local_unmixed: Annotated[float, Field(ge=0)] = 1.0
    """weight of what is predicted of a clip for hidden patches"""
    global_mixed: Annotated[float, Field(ge=0)] = 1.0
    """the same of a mixture, from the class token; stage 2 alone, as are the next"""
    local_mixed: Annotated[float, Field(ge=0)] = 1.0
    """the same of a mixture, for hidden patches"""
    local_retention: Annotated[float, Field(ge=0)] = 1.0
    """weight of what a mixture is to retain of both its clips, for hidden patches"""
    global_retention: Annotated[float, Field(ge=0)] = 0.0
    """the same from the class token; computed and thrown away by the released code"""


CLONES = {1: 16, 2: 8}  # by stage; in stage 2 each clip has its mixture beside it
# Share of the length of each of the two regions in which a mixture has one clip alone: 240 of 1024 frames in the
# released code, a quarter in the paper.
UNMIXED = {"released": 15 / 64, "paper": 1 / 4}


class LatentPretext(Settings):
    """Prediction of a teacher's view of hidden patches: EAT (stage 1) and SSLAM (stage 2, with mixtures)."""

    arch: Literal["sslam"] = "sslam"  # of the net; not to be given
    stage: Literal[1, 2] = 1
    """1: clips as they are (EAT); 2: clips and partial mixtures of two clips (SSLAM), to go on from stage 1 by
    `init`"""
    preset: Literal["released", "paper"] = "released"
    """which mixtures in stage 2, where `unmixed` is not given: as the code that is `released`, or as the `paper` has
    it"""
    clones: Positive | None = None
    """masks of each clip. In stage 2 they serve the clip and its mixture, so half as many cost the same. `null`: 16,
    in stage 2 8"""
    masking: BlockMasking = BlockMasking()
    teacher: Teacher = Teacher()
    weights: Weights = Weights()
    unmixed: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """share of the length, below 0.5, of each of the two regions in which a mixture has one clip alone. `null`:
    15/64 (`released`) or 1/4 (`paper`)"""

    @property
    def n_clones(self) -> int:
        """Masks of each clip."""
        return self.clones or CLONES[self.stage]

    @property
    def share_unmixed(self) -> float:
        """What holds of `unmixed`."""
        return self.unmixed or UNMIXED[self.preset]

    @model_validator(mode="after")
    def _all_used(self) -> Self:
        weights, defaults = self.weights.model_dump(), Weights().model_dump()
        if self.stage == 1:
            own = ("global_unmixed", "local_unmixed")
            unused = [f"weights.{name}" for name in weights if name not in own and weights[name] != defaults[name]]
            unused += [name for name in ("preset", "unmixed") if getattr(self, name) != _default(self, name)]
            if unused:
                raise ValueError(f"{', '.join(unused)}: without use in stage 1, which mixes no clips")
            if not any(weights[name] for name in own):
                raise ValueError("weights: all are 0, so that there is nothing to learn")
        elif not any(value for name, value in weights.items() if not name.endswith("_unmixed")):
            raise ValueError("weights: all of the mixtures are 0, but stage 2 is to learn from them; use stage 1")
        elif self.unmixed is not None and self.preset != _default(self, "preset"):
            raise ValueError(f"preset: without use, as it decides of nothing but `unmixed`, which is {self.unmixed:g}")
        return self


def _default(settings: Settings, name: str) -> Any:
    return type(settings).model_fields[name].default


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
    # Stages 1 and 2 as SSLAM's released code trains them, on AudioSet: 400,000 and 200,000 steps of 48 clips, of which
    # 53,333 and 25,000 are warm-up.
    "eat": {
        "optimizer": {"name": "adamw", "lr": 5e-4, "weight_decay": 0.05, "betas": (0.9, 0.95)},
        "schedule": {"name": "cosine", "warmup_steps": 2 / 15},
        "clip_norm": 4.0,
    },
    "sslam": {
        "optimizer": {"name": "adamw", "lr": 5e-5, "weight_decay": 0.05, "betas": (0.9, 0.95)},
        "schedule": {"name": "cosine", "warmup_steps": 1 / 8},
        "clip_norm": 4.0,
    },
}


class PretextTraining(Training):
    """How an encoder is pre-trained."""

    preset: Literal["ssast", "modern", "eat", "sslam"] = "ssast"
    """what is not given of `optimizer`, `schedule` and `clip_norm`, key by key, [below](#presets-of-pre-training).
    Unless given: with `net.arch: ssast`, `ssast`; with `sslam`, `eat` in stage 1 and `sslam` in stage 2"""
    optimizer: Optimizer
    schedule: Annotated[PlateauSchedule | CosineSchedule, Field(discriminator="name")]
    """how the rate changes; `name` chooses one of [these](#schedule). Where a teacher is followed, only `cosine`"""
    check_every: Positive | None = None
    """optimiser steps between checks on the validation part, each of which also saves what is resumed from; `null`:
    an epoch, but 1000 steps at most"""
    activation_checkpointing: bool = False
    """blocks are computed again in the backward pass, not kept: less memory for a third more time"""
    tensorboard: bool = False
    """write the history for TensorBoard too, into `logs/pretrain/`"""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        name = raw.get("preset", "ssast")
        preset = PRESETS[name if name in tuple(PRESETS) else "ssast"]
        return filled(raw, preset)


class Pretraining(Settings):
    """A named pre-training: `init: {ssl: NAME}` of a model starts from it."""

    frontend: Name
    """name of a front end"""
    corpus: Name
    """name of a corpus"""
    net: Encoder
    """the encoder: `arch`, `size`, `patch` and `n_frames` of a [net](#net); patches do not overlap here. `size` and
    `patch` are the model's, `n_frames` may differ: longer clips are cropped at random, shorter ones padded"""
    init: Init = "scratch"
    """as a model's: `scratch`, a checkpoint, or another pre-training to go on from"""
    pretext: Annotated[PatchPretext | LatentPretext, Field(discriminator="arch")]
    """the task, [below](#pretext); `net.arch` decides which it is"""
    train: PretextTraining
    """training, [below](#train-of-a-pre-training)"""

    @model_validator(mode="before")
    @classmethod
    def _pretext_of_the_net(cls, raw: Any) -> Any:
        """The network decides which pretext task there is, and it which training is usual."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("net"), Mapping):
            return raw
        pretext, train, arch = raw.get("pretext", {}), raw.get("train"), raw["net"].get("arch")
        if arch == "sslam" and isinstance(pretext, Mapping) and isinstance(train, Mapping):
            train = {"preset": "sslam" if pretext.get("stage") == 2 else "eat", **train}
        return {
            **raw,
            "pretext": {"arch": arch, **pretext} if isinstance(pretext, Mapping) else pretext,
            **({} if train is None else {"train": train}),
        }

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.pretext.arch != self.net.arch:
            raise ValueError(
                f"pretext.arch: found {self.pretext.arch!r}, but net.arch is {self.net.arch!r}; leave it out"
            )
        if isinstance(self.pretext, LatentPretext):
            if isinstance(self.train.schedule, PlateauSchedule):
                raise ValueError(
                    "train.schedule.name: found 'plateau', but losses against a teacher that moves do not tell when "
                    "there is no more progress; expected 'cosine'"
                )
            if self.pretext.stage == 2 and self.train.batch_size == 1:
                raise ValueError("train.batch_size: found 1, but stage 2 mixes clips of a batch; expected 2 or more")
        return self
