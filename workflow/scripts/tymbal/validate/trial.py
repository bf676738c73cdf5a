"""A few real steps of a planned training on the processor: does it work, what does it keep, how long does it take.

It may be a login node: one clip at a time, and no optimiser, which would hold all weights twice more.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from tymbal.config.models import Encoder as EncoderNet
from tymbal.config.models import EncoderSettings, Frontend, Init, Model, start_file
from tymbal.config.pretrain import Pretraining
from tymbal.inference import mean_loss
from tymbal.models.build import build
from tymbal.models.classifier import Classifier
from tymbal.models.encoder import Encoder
from tymbal.models.flops import count_flops, forward_flops
from tymbal.models.sources import load_start
from tymbal.pretrain.build import build_pretext
from tymbal.pretrain.pretext import PretextModel
from tymbal.spectrogram import FeatureState
from tymbal.validate.estimate import FROZEN, TRAINING, Kept

TRIED_S = 1.0  # short steps are repeated, for a steady time


@dataclass(frozen=True)
class Trial:
    """What one step showed.

    Attributes:
        problems: what must be fixed; the rest is then of no use.
        n_parameters: of the model.
        n_trained: those of them that are trained.
        loss: mean loss of the step, from which training starts.
        seconds_per_clip: of a step, forward and backward, on one core of this processor.
        kept: for the backward pass, in `mixed` and in `fp32` precision.
        flops_per_clip: of a forward pass over whole clips.
        passes: a step's operations over those.
    """

    problems: tuple[str, ...]
    n_parameters: int
    n_trained: int
    loss: float
    seconds_per_clip: float
    kept: dict[str, Kept]
    flops_per_clip: int
    passes: float


def try_model(settings: Model, frontend: Frontend, n_classes: int) -> Trial:
    """Build a model, load its starting weights and make a few steps, forward and backward, at the real shapes.

    Weights of a pre-training that is only planned are random here; the configuration has been checked to fit.

    Args:
        settings: of the model variant.
        frontend: its front end.
        n_classes: classes of the data set.

    Raises:
        InputError: the starting weights cannot be read or do not fit, all misfits in one message.
    """
    with _one_thread():
        torch.manual_seed(0)  # dropout and patchout draw from nowhere else
        model = build(settings.net, frontend.n_mels, n_classes, torch.Generator().manual_seed(0))
        if isinstance(model, Encoder) and isinstance(settings.net, EncoderSettings):
            _load(settings.init, model, settings.net, frontend)
        if settings.train.freeze_encoder:
            model.freeze_encoder()
        model.patchout = settings.train.patchout
        x, y = torch.zeros(1, *model.input_shape), torch.eye(n_classes)[:1]
        flops = forward_flops(model.eval(), x)
        in_training = forward_flops(model.train(), x)  # of fewer patches, where some are dropped
        passes = FROZEN if settings.train.freeze_encoder else TRAINING * in_training / flops
        return _try(model, model, lambda x: mean_loss(model(x).float(), y, settings.train.loss), flops, passes)


def try_pretraining(settings: Pretraining, frontend: Frontend) -> Trial:
    """As `try_model`, of a pre-training.

    Args:
        settings: of the pre-training.
        frontend: its front end.

    Raises:
        InputError: as there.
    """
    with _one_thread():
        model = build_pretext(settings, frontend.n_mels, torch.Generator().manual_seed(0))
        _load(settings.init, model, settings.net, frontend)

        def loss(x: Tensor) -> Tensor:
            return model.losses(x, None, torch.Generator().manual_seed(0))["loss"]

        trained, untrained = count_flops(loss, torch.zeros(1, *model.input_shape))
        flops = trained + untrained  # the latter, of a teacher, are done once
        trial = _try(model, loss, loss, flops, (TRAINING * trained + untrained) / flops)
        if not settings.train.activation_checkpointing:
            return trial
        model.activation_checkpointing = True
        again = _try(model, loss, loss, flops, trial.passes + trained / flops)  # forward twice
        # While the backward pass goes through a block, all that this one keeps is there again.
        return replace(again, kept={k: _sum(again.kept[k], trial.kept[k], len(model.blocks)) for k in trial.kept})


@contextmanager
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine threads that wait for each other are slower a hundredfold
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _load(init: Init, model: Encoder, net: EncoderNet, frontend: Frontend) -> None:
    if (path := start_file(init)) is not None:
        load_start(Path(path), model, net, FeatureState.of(frontend))


def _try(
    model: Classifier | PretextModel,
    forward: Callable[[Tensor], Tensor],
    loss: Callable[[Tensor], Tensor],
    flops_per_clip: int,
    passes: float,
) -> Trial:
    """What steps at the real shape show; `forward` takes several clips [B, T, F], `loss` one."""
    # Normalised features have this deviation.
    x = 0.5 * torch.randn(2, *model.input_shape, generator=torch.Generator().manual_seed(1))
    kept = {"mixed": kept_bytes(model, forward, x, torch.bfloat16), "fp32": kept_bytes(model, forward, x, None)}
    losses, seconds = _steps(model, loss, x[:1])
    problems = []
    if not all(map(math.isfinite, losses)):
        problems.append(f"the loss of the first steps is {losses}")
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            problems.append(f"{name}: has no gradient, so it is never trained")
        elif not parameter.grad.isfinite().all():
            problems.append(f"{name}: has a gradient that is not finite")
    n_parameters, n_trained = (
        sum(parameter.numel() for parameter in each)
        for each in (model.parameters(), (one for one in model.parameters() if one.requires_grad))
    )
    return Trial(tuple(problems), n_parameters, n_trained, losses[0], seconds, kept, flops_per_clip, passes)


def _steps(model: nn.Module, loss: Callable[[Tensor], Tensor], x: Tensor) -> tuple[list[float], float]:
    """Losses of a few steps with one clip, and the processor time of one."""
    losses: list[float] = []
    times: list[float] = []
    while len(times) < 2 or sum(times) < TRIED_S:  # the first also waits for memory
        started = time.process_time()
        model.zero_grad(set_to_none=True)
        value = loss(x)
        value.backward()
        times.append(time.process_time() - started)
        losses.append(value.item())
    return losses, min(times)


def kept_bytes(model: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor, dtype: torch.dtype | None) -> Kept:
    """What a forward pass would keep for the backward pass beside the weights; each storage counts once.

    Args:
        model: on the CPU.
        forward: its forward pass.
        x: two or more spectrograms [B, T, F].
        dtype: of autocast, None for float32.
    """

    def measure(batch: Tensor) -> int:
        weights = {StorageWeakRef(parameter.untyped_storage()) for parameter in model.parameters()}
        nothing = torch.empty(0)
        sizes: dict[StorageWeakRef, int] = {}  # told apart without being kept, so that it takes next to no memory

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[StorageWeakRef(storage)] = storage.nbytes()
            return nothing

        with (
            torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
            torch.autocast("cpu", dtype=dtype, enabled=dtype is not None),
        ):
            forward(batch)
        return sum(size for storage, size in sizes.items() if storage not in weights)

    one, all_ = measure(x[:1].clone()), measure(x)  # a view would count with all of its storage
    per_clip = (all_ - one) // (len(x) - 1)
    return Kept(fixed=one - per_clip, per_clip=per_clip)


def _sum(lasting: Kept, whole: Kept, n_blocks: int) -> Kept:
    return Kept(lasting.fixed + whole.fixed // n_blocks, lasting.per_clip + whole.per_clip // n_blocks)
