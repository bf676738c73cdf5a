"""Settings of networks, of their training and of the models made of both."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from tymbal.config.base import Name, Positive, Settings, Share
from tymbal.config.presets import FINETUNING, Preset, filled

Loss = Literal["bce", "ce"]  # 'bce': scores are the logits' sigmoid; 'ce': their softmax


class Frontend(Settings):
    """Log-mel filterbank. Frames of 25 ms every 10 ms, Hanning window, 20 Hz to Nyquist (field standard)."""

    backend: Literal["tymbal", "torchaudio"] = "tymbal"
    sample_rate: Positive = 16000  # Hz
    n_mels: Positive = 128


# --- networks ---------------------------------------------------------------------------------------------


class NetSettings(Settings):
    """What all networks have."""

    n_frames: Positive = 1024  # length the model sees; shorter clips are padded

    least_mels: ClassVar[int] = 1  # mel bins that it cannot do without
    layered: ClassVar[bool] = False  # its layers may learn at different rates: `Classifier.layers_above`
    may_drop: ClassVar[bool] = False  # it can do without some patches in training: `Classifier.patchout`


class EncoderSettings(NetSettings):
    """What all encoders have that can be probed: they make tokens of the spectrogram's patches."""

    patch: tuple[Positive, Positive] = (16, 16)  # mel bins, frames


class SsastEncoder(EncoderSettings):
    """What pre-training decides of an Audio Spectrogram Transformer (SSAST: Gong et al., AAAI 2022)."""

    layered: ClassVar[bool] = True
    may_drop: ClassVar[bool] = True

    arch: Literal["ssast"]
    size: Literal["tiny", "small", "base", "base-nokd"] = "tiny"  # base-nokd: one class token


class Ssast(SsastEncoder):
    """The encoder with a classifier. Clips shorter than `n_frames` are padded."""

    stride: tuple[Positive, Positive] = (16, 16)  # mel bins, frames
    pooling: Literal["mean", "cls"] = "mean"


class SslamEncoder(EncoderSettings):
    """What pre-training decides of the transformer of EAT (Chen et al., IJCAI 2024) and SSLAM (ICLR 2025)."""

    layered: ClassVar[bool] = True
    may_drop: ClassVar[bool] = True

    arch: Literal["sslam"]
    size: Literal["tiny", "small", "base", "large"] = "base"


class Sslam(SslamEncoder):
    """The encoder with a classifier. Clips shorter than `n_frames` are padded."""

    pooling: Literal["cls", "mean", "linear-softmax"] = "cls"
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.1  # of the last block in training; it rises linearly from 0


class Cnn(NetSettings):
    """A small convolutional network on log-mel, to compare with (Salamon and Bello, IEEE SPL 2017)."""

    arch: Literal["cnn"]

    least_mels: ClassVar[int] = 32  # what its layers leave is then one row


# One more network is its settings above, its name here, and a line in `models.build`: docs/extending.md.
Encoder = Annotated[SsastEncoder | SslamEncoder, Field(discriminator="arch")]
Net = Annotated[Ssast | Sslam | Cnn, Field(discriminator="arch")]
PRETRAINED: tuple[type[EncoderSettings], ...] = get_args(get_args(Encoder)[0])  # all others start from scratch


class Ssl(Settings):
    """Starting weights from a pre-training that this workflow runs."""

    ssl: Name
    seed: Annotated[int, Field(ge=0)] = 0


def _kind_of_init(value: Any) -> str:
    return "path" if isinstance(value, str) else "ssl"


# `scratch`, the path of a checkpoint, or a pre-training
Init = Annotated[Annotated[str, Tag("path")] | Annotated[Ssl, Tag("ssl")], Discriminator(_kind_of_init)]


# --- training ---------------------------------------------------------------------------------------------


def _kind_of_amount(value: Any) -> str:
    return "share" if isinstance(value, float) and 0 < value < 1 else "number"


# A whole number, or below 1 a share of what there is
Amount = Annotated[
    Annotated[int, Field(ge=0), Tag("number")] | Annotated[Share, Tag("share")], Discriminator(_kind_of_amount)
]


class Optimizer(Settings):
    """Adam adds weight decay to the gradient (as SSAST), AdamW decouples it."""

    name: Literal["adam", "adamw"] = "adam"
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 5e-7
    betas: tuple[Share, Share] = (0.95, 0.999)


class LayeredOptimizer(Optimizer):
    """With rates that differ between head and layers."""

    head_lr: Annotated[float, Field(gt=0)] = 1.0  # multiplier for the classification head
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # rate of a layer relative to the one above


class StepSchedule(Settings):
    """Full rate up to epoch `start`, then times `gamma`, and again every `every` epochs."""

    name: Literal["step"]
    start: Positive
    every: Positive
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.5
    warmup_steps: Annotated[int, Field(ge=0)] = 0


class CosineSchedule(Settings):
    """Linear warm-up, then half a cosine down to the lowest rate at the last step."""

    name: Literal["cosine"]
    warmup_steps: Amount = 0  # below 1: a share of all steps
    # From which every layer's rate rises and to which it falls; a layer whose highest rate is lower keeps that.
    min_lr: Annotated[float, Field(ge=0)] = 0.0


class PlateauSchedule(Settings):
    """Full rate, halved whenever more than `patience` checks in a row were no better than the best."""

    name: Literal["plateau"]
    patience: Positive = 2
    warmup_steps: Annotated[int, Field(ge=0)] = 1000


class Training(Settings):
    """What every training needs."""

    epochs: Positive
    batch_size: Positive
    accumulate: Positive = 1  # batches whose gradients are added before one optimiser step
    clip_norm: Annotated[float, Field(gt=0)] | None = None  # largest norm of a gradient
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"


class BatchMixup(Settings):
    """One weight for a whole batch (Zhang et al., ICLR 2018)."""

    probability: Annotated[float, Field(gt=0, le=1)]  # that a batch is mixed
    alpha: Annotated[float, Field(gt=0)]  # the weight is from Beta(alpha, alpha)


class Augment(Settings):
    """Training-time changes to the batch; everything off by default.

    They come in this order, but noise and roll before `batch_mixup`, where it is set, as in SSLAM's loader.
    """

    # As SSLAM changes the waveform.
    clip_roll: bool = False  # circular shift of a clip by any number of its frames
    gain: bool = False  # 0.5 to 1.5 times as loud
    # One of these two.
    mixup: Annotated[float, Field(ge=0, le=1)] = 0.0  # probability a clip is mixed with another, as SSAST
    batch_mixup: BatchMixup | None = None  # a batch with itself in reverse, as SSLAM
    freq_mask: Amount = 0  # mel bins, upper bound of one mask; below 1: a share of all
    time_mask: Amount = 0  # frames, upper bound of one mask; below 1: a share of `n_frames`
    mask_fill: Literal["padding", "mean"] = "padding"  # value of masked frames and bins
    noise: bool = False
    roll: Annotated[int, Field(ge=0)] = 0  # frames, largest circular shift of clip and padding

    @property
    def mixes(self) -> bool:
        """Whether clips are mixed, so that the whole batch is needed for a part of it."""
        return self.mixup > 0 or self.batch_mixup is not None


class Finetuning(Training):
    """How a classifier is fitted and which epoch is kept."""

    preset: Preset | None = None  # what is not given of all that follows and of epochs and batch_size
    loss: Loss
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of training with ce: share given to all classes alike
    label_percent: Literal[1, 5, 10, 25, 50, 100] = 100  # of the training part, by groups: for learning curves
    freeze_encoder: bool = False  # only the classification head is trained
    patchout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of the patches that a clip goes without, drawn anew
    optimizer: LayeredOptimizer
    schedule: Annotated[StepSchedule | CosineSchedule, Field(discriminator="name")]
    augment: Augment = Augment()
    sampling: Literal["none", "balanced"] = "none"
    epoch_clips: Positive | None = None  # clips of an epoch, drawn anew without replacement; null: as many as there are
    select_by: Literal["mAP", "AUC", "accuracy", "loss"] = "mAP"
    early_stopping: Positive | None = None  # epochs without a better validation metric

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or raw.get("preset") is None:
            return raw
        # A wrong name is told by its type; what it leaves out is not to be told too.
        return filled(raw, FINETUNING[raw["preset"] if raw["preset"] in tuple(FINETUNING) else "sslam-spass"])


class Model(Settings):
    """A named variant: front end, network, starting weights, training."""

    frontend: Name
    net: Net
    init: Init = "scratch"
    keep_head: bool = False  # that of `init` too: a fine-tuned model of ours with the data set's classes
    padding: Literal["mean", "original"] = "mean"
    # Clips that would lose more than a tenth of their frames are an error, or are cut at the end.
    long_clips: Literal["error", "cut"] = "error"
    train: Finetuning
