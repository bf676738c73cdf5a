"""Settings of networks, of their training and of the models made of both."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from tymbal.config.base import Name, Positive, Settings, Share
from tymbal.config.presets import FINETUNING, Preset, filled
from tymbal.config.released import RELEASED, local_path

Loss = Literal["bce", "ce"]  # 'bce': scores are the logits' sigmoid; 'ce': their softmax


class Frontend(Settings):
    """Log-mel filterbank. Frames of 25 ms every 10 ms, Hanning window, 20 Hz to Nyquist (field standard)."""

    backend: Literal["tymbal", "torchaudio"] = "tymbal"
    """`tymbal`, or `torchaudio` as the reference"""
    sample_rate: Positive = 16000
    """that audio is resampled to, Hz"""
    n_mels: Positive = 128
    """mel bins"""


# --- networks ---------------------------------------------------------------------------------------------


class NetSettings(Settings):
    """What all networks have."""

    n_frames: Positive = 1024
    """frames the model sees (10 ms each); shorter clips are padded, what happens to longer ones says `long_clips`"""

    least_mels: ClassVar[int] = 1  # mel bins that it cannot do without
    layered: ClassVar[bool] = False  # its layers may learn at different rates: `Classifier.layers_above`
    may_drop: ClassVar[bool] = False  # it can do without some patches: `train.patchout`, `padding: ignored`


# What is done where clips are shorter than the input: filled up with the mean or with zeros, or nothing
Padding = Literal["mean", "original", "ignored"]


class EncoderSettings(NetSettings):
    """What all encoders have that can be probed: they make tokens of the spectrogram's patches."""

    patch: tuple[Positive, Positive] = (16, 16)
    """mel bins × frames of a patch: `[16, 16]`, or `[128, 2]` for the frame model. What does not fill a patch at the
    upper or late end is not seen; `validate` warns of more than a tenth"""


class SsastEncoder(EncoderSettings):
    """What pre-training decides of an Audio Spectrogram Transformer (SSAST: Gong et al., AAAI 2022)."""

    layered: ClassVar[bool] = True
    may_drop: ClassVar[bool] = True

    arch: Literal["ssast"]
    size: Literal["tiny", "small", "base", "base-nokd"] = "tiny"
    """of the transformer; `base-nokd` is `base` with one class token"""


class Ssast(SsastEncoder):
    """The Audio Spectrogram Transformer of SSAST (Gong et al., AAAI 2022)."""

    stride: tuple[Positive, Positive] = (16, 16)
    """mel bins × frames between patches; smaller than the patch means overlap"""
    pooling: Literal["mean", "cls"] = "mean"
    """what is classified: the `mean` of the patch tokens, or the class token (`cls`)"""


class SslamEncoder(EncoderSettings):
    """What pre-training decides of the transformer of EAT (Chen et al., IJCAI 2024) and SSLAM (ICLR 2025)."""

    layered: ClassVar[bool] = True
    may_drop: ClassVar[bool] = True

    arch: Literal["sslam"]
    size: Literal["tiny", "small", "base", "large"] = "base"
    """of the transformer"""


class Sslam(SslamEncoder):
    """The transformer of EAT (Chen et al., IJCAI 2024) and SSLAM (ICLR 2025)."""

    pooling: Literal["cls", "mean", "linear-softmax"] = "cls"
    """what is classified: the class token (`cls`), the `mean` of the patch tokens, or their `linear-softmax`: their
    mean, each component a logit whose probability is weighted with itself"""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """rate of stochastic depth in the last block in training; it rises linearly from 0 in the first. Without use
    with `freeze_encoder`"""


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
    """name of a pre-training, which is run first"""
    seed: Annotated[int, Field(ge=0)] = 0
    """of that pre-training"""


def _known_release(name: str) -> str:
    if name not in RELEASED:
        raise ValueError(f"expected one of {', '.join(RELEASED)}, or a file's path as `init`")
    return name


class Released(Settings):
    """Starting weights that a method's authors have released; `snakemake download` gets them."""

    released: Annotated[str, AfterValidator(_known_release)]
    """which, by [name](../docs/recipes/index.md#released-checkpoints)"""


def _kind_of_init(value: Any) -> str:
    if isinstance(value, str):
        return "path"
    return "released" if isinstance(value, Released) or (isinstance(value, Mapping) and "released" in value) else "ssl"


# `scratch`, the path of a checkpoint, one that was released, or a pre-training
Init = Annotated[
    Annotated[str, Tag("path")] | Annotated[Released, Tag("released")] | Annotated[Ssl, Tag("ssl")],
    Discriminator(_kind_of_init),
]


def start_file(init: Init) -> str | None:
    """The file of starting weights; None for those at random and of pre-trainings that this workflow runs."""
    if isinstance(init, Released):
        return local_path(init.released)
    return init if isinstance(init, str) and init != "scratch" else None


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
    """`adam` (decay added to the gradient, as SSAST) or `adamw` (decoupled)"""
    lr: Annotated[float, Field(gt=0)]
    """learning rate"""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-7
    """weight decay"""
    betas: tuple[Share, Share] = (0.95, 0.999)
    """decay of the means of the gradient and of its square"""


class LayeredOptimizer(Optimizer):
    """With rates that differ between head and layers."""

    head_lr: Annotated[float, Field(gt=0)] = 1.0
    """multiplier for the classification head"""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """rate of a layer relative to the one above it"""


class StepSchedule(Settings):
    """Full rate up to epoch `start`, then times `gamma`, and again every `every` epochs."""

    name: Literal["step"]
    start: Positive
    """last epoch at the full rate"""
    every: Positive
    """epochs from one reduction to the next"""
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """what the rate is multiplied by"""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """linear warm-up at the start"""


class CosineSchedule(Settings):
    """Linear warm-up, then half a cosine down to the lowest rate at the last step."""

    name: Literal["cosine"]
    warmup_steps: Amount = 0
    """linear warm-up at the start; a number below 1 is a share of all steps"""
    min_lr: Annotated[float, Field(ge=0)] = 0.0
    """the lowest rate, of every layer, from which warm-up starts too; layers whose highest rate is lower keep that"""


class PlateauSchedule(Settings):
    """Full rate, halved whenever more than `patience` checks in a row were no better than the best."""

    name: Literal["plateau"]
    patience: Positive = 2
    """checks in a row that may be no better than the best before the rate is halved"""
    warmup_steps: Annotated[int, Field(ge=0)] = 1000
    """linear warm-up at the start"""


class Training(Settings):
    """What every training needs."""

    epochs: Positive
    """how often training goes through all clips; of a pre-training, an epoch is the sum of the parts' clips times
    their weights, in whole steps of `batch_size` × `accumulate` clips, at least one"""
    batch_size: Positive
    """clips of a batch, in all processes together"""
    accumulate: Positive = 1
    """batches whose gradients are added before one step"""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """largest norm of a gradient; `null`: any"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` (bfloat16 or float16 on a GPU, float32 on a CPU), `fp32`, `bf16`, `fp16`. On a processor with units for
    it, `bf16` is faster, and the log says so; it is not chosen by itself, so that figures do not depend on the
    processor"""


class BatchMixup(Settings):
    """One weight for a whole batch (Zhang et al., ICLR 2018)."""

    probability: Annotated[float, Field(gt=0, le=1)]
    """that a batch is mixed"""
    alpha: Annotated[float, Field(gt=0)]
    """the weight is from Beta(alpha, alpha)"""


class Augment(Settings):
    """Training-time changes to the batch; everything off by default.

    They come in this order, but noise and roll before `batch_mixup`, where it is set, as in SSLAM's loader.
    """

    clip_roll: bool = False
    """shift clips circularly by any number of their frames; padding stays at the end"""
    gain: bool = False
    """make clips 0.5 to 1.5 times as loud, by 0.5 + Beta(10, 10)"""
    mixup: Annotated[float, Field(ge=0, le=1)] = 0.0
    """probability that a clip is mixed with another, as their waveforms would mix (SSAST)"""
    batch_mixup: BatchMixup | None = None
    """instead: a batch is mixed with itself in reverse, features as they are, by one weight (SSLAM)"""
    freq_mask: Amount = 0
    """SpecAugment: upper bound of one mask, mel bins; a number below 1 is a share of the mel bins"""
    time_mask: Amount = 0
    """the same in frames; a number below 1 is a share of `n_frames`, or of a clip's own frames where padding is
    [ignored](#padding-ignored)"""
    mask_fill: Literal["padding", "mean"] = "padding"
    """what masks are filled with: `padding` (the value of padding) or `mean` (0 after normalising)"""
    noise: bool = False
    """add weak uniform noise; like `roll`, with `batch_mixup` before mixing (SSLAM), else after mixup and masks
    (SSAST)"""
    roll: Annotated[int, Field(ge=0)] = 0
    """largest circular shift of clip and padding, frames; not where padding is [ignored](#padding-ignored)"""

    @property
    def mixes(self) -> bool:
        """Whether clips are mixed, so that the whole batch is needed for a part of it."""
        return self.mixup > 0 or self.batch_mixup is not None


class Finetuning(Training):
    """How a classifier is fitted and which epoch is kept."""

    preset: Preset | None = None
    """a [published recipe](#presets-of-fine-tuning): what is not given of all other keys, in `optimizer`, `schedule`
    and `augment` key by key (a block of another `name` stays as given)"""
    loss: Loss
    """`bce`: scores are the logits' sigmoid (soft labels, several classes); `ce`: their softmax (single-label only)"""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """of `ce`, in training alone: the share of each label that all classes get alike"""
    label_percent: Literal[1, 5, 10, 25, 50, 100] = 100
    """train with the labels of so many percent of the training part, by groups, nested: for learning curves"""
    freeze_encoder: bool = False
    """train the classification head alone"""
    patchout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """share of the patches that each training clip goes without, drawn anew every time: steps are shorter and need
    less memory; see [what it costs](../docs/performance.md#leaving-patches-out). Of `ssast` and `sslam`, without use
    with `freeze_encoder`; validation, evaluation and prediction see all patches"""
    optimizer: LayeredOptimizer
    schedule: Annotated[StepSchedule | CosineSchedule, Field(discriminator="name")]
    """how the rate changes; `name` chooses `step` or `cosine` of [these](#schedule)"""
    augment: Augment = Augment()
    sampling: Literal["none", "balanced"] = "none"
    """`none`, or `balanced`: clips of rare classes are drawn more often"""
    epoch_clips: Positive | None = None
    """clips of an epoch, fewer than there are: drawn anew for each, without replacement; `null`: as many as there
    are"""
    select_by: Literal["mAP", "AUC", "accuracy", "loss"] = "mAP"
    """validation metric that chooses the epoch; `accuracy` is for single-label alone"""
    early_stopping: Positive | None = None
    """epochs without a better metric before training stops; `null`: never"""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or raw.get("preset") is None:
            return raw
        # A wrong name is told by its type; what it leaves out is not to be told too.
        return filled(raw, FINETUNING[raw["preset"] if raw["preset"] in tuple(FINETUNING) else "sslam-spass"])


class Statistics(Settings):
    """Published mean and standard deviation of log-mel."""

    mean: float
    """that is subtracted, natural logarithm"""
    std: Annotated[float, Field(gt=0)]
    """twice which is divided by, natural logarithm"""


Norm = Literal["fitted"] | Statistics


class Model(Settings):
    """A named variant: front end, network, starting weights, training."""

    frontend: Name
    """name of a front end"""
    net: Net
    """the network, [below](#net)"""
    init: Init = "scratch"
    """`scratch`; the path of a checkpoint (an SSAST `.pth`, an EAT or SSLAM `.pt` or `.safetensors`, our own
    `encoder.safetensors` or `model.safetensors`); `{released: NAME}`, weights that a method's authors have
    released and `snakemake download` gets; or `{ssl: NAME, seed: 0}`, a pre-training that is run first.
    Everything that does not fit is told and stops the run"""
    keep_head: bool = False
    """`true`: keep the classification head of `init` too, a fine-tuned model of ours with the data set's classes,
    `pooling` and `loss`; see [other classes](../docs/predict.md#other-classes)"""
    norm: Norm = "fitted"
    """what the input is normalised by: `fitted`, mean and standard deviation of the fold's training clips; or those
    that a method has published, to compare with its figures. If they cannot be of these clips (a wrong sign, another
    kind of log-mel), the run stops before any training"""
    padding: Padding = "mean"
    """how clips shorter than `n_frames` are filled: `mean` (0 after normalising) or `original` (zeros in log-mel
    before normalising, as the released checkpoints were trained); or `ignored`, [below](#padding-ignored)"""
    long_clips: Literal["error", "cut"] = "error"
    """clips that would lose more than a tenth of their frames: `error`, or `cut` at the end"""
    train: Finetuning
    """training, [below](#train-of-a-model)"""
