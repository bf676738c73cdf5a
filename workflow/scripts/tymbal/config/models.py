"""Settings of networks, of their training and of the models made of both."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tymbal.config.base import Name, Positive, Settings, Share


class Frontend(Settings):
    """Log-mel filterbank. Frames of 25 ms every 10 ms, Hanning window, 20 Hz to Nyquist (field standard)."""

    backend: Literal["tymbal", "torchaudio"] = "tymbal"
    sample_rate: Positive = 16000  # Hz
    n_mels: Positive = 128


# --- networks ---------------------------------------------------------------------------------------------


class SsastEncoder(Settings):
    """What pre-training decides of an Audio Spectrogram Transformer (SSAST: Gong et al., AAAI 2022)."""

    arch: Literal["ssast"]
    size: Literal["tiny", "small", "base", "base-nokd"] = "tiny"  # base-nokd: one class token
    patch: tuple[Positive, Positive] = (16, 16)  # mel bins, frames
    n_frames: Positive = 1024  # length the model sees


class Ssast(SsastEncoder):
    """The encoder with a classifier. Clips shorter than `n_frames` are padded."""

    stride: tuple[Positive, Positive] = (16, 16)  # mel bins, frames
    pooling: Literal["mean", "cls"] = "mean"


class Cnn(Settings):
    """A small convolutional network on log-mel, to compare with (Salamon and Bello, IEEE SPL 2017)."""

    arch: Literal["cnn"]
    n_frames: Positive = 1024  # shorter clips are padded


Net = Annotated[Ssast | Cnn, Field(discriminator="arch")]


class Ssl(Settings):
    """Starting weights from a pre-training that this workflow runs."""

    ssl: Name
    seed: Annotated[int, Field(ge=0)] = 0


def _kind_of_init(value: Any) -> str:
    return "path" if isinstance(value, str) else "ssl"


# `scratch`, the path of a checkpoint, or a pre-training
Init = Annotated[Annotated[str, Tag("path")] | Annotated[Ssl, Tag("ssl")], Discriminator(_kind_of_init)]


# --- training ---------------------------------------------------------------------------------------------


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
    """Linear warm-up, then half a cosine down to zero at the last step."""

    name: Literal["cosine"]
    warmup_steps: Annotated[int, Field(ge=0)] = 0


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


class Augment(Settings):
    """Training-time changes to the batch; everything off by default. Values as in SSAST's recipes."""

    freq_mask: Annotated[int, Field(ge=0)] = 0  # mel bins, upper bound of one mask
    time_mask: Annotated[int, Field(ge=0)] = 0  # frames, upper bound of one mask
    mixup: Annotated[float, Field(ge=0, le=1)] = 0.0  # probability a clip is mixed with another
    noise: bool = False
    roll: Annotated[int, Field(ge=0)] = 0  # frames, largest circular shift


class Finetuning(Training):
    """How a classifier is fitted and which epoch is kept."""

    loss: Literal["bce", "ce"]
    label_percent: Literal[1, 5, 10, 25, 50, 100] = 100  # of the training part, by groups: for learning curves
    freeze_encoder: bool = False  # only the classification head is trained
    optimizer: LayeredOptimizer
    schedule: Annotated[StepSchedule | CosineSchedule, Field(discriminator="name")]
    augment: Augment = Augment()
    sampling: Literal["none", "balanced"] = "none"
    select_by: Literal["mAP", "AUC", "accuracy", "loss"] = "mAP"
    early_stopping: Positive | None = None  # epochs without a better validation metric


class Model(Settings):
    """A named variant: front end, network, starting weights, training."""

    frontend: Name
    net: Net
    init: Init = "scratch"
    padding: Literal["mean", "original"] = "mean"
    # Clips that would lose more than a tenth of their frames are an error, or are cut at the end.
    long_clips: Literal["error", "cut"] = "error"
    train: Finetuning
