"""Five optimiser steps equal those of the original implementation."""

import numpy as np
import pytest
import torch

from helpers import golden_file, golden_inputs, needs_shared
from tymbal.config.models import LayeredOptimizer, Ssast
from tymbal.inference import mean_loss
from tymbal.models.ssast import SSAST
from tymbal.train.optim import build_optimizer

pytestmark = needs_shared


def reference_model(inputs) -> SSAST:
    """The tiny patch model for 512 frames; of the 64 columns of pre-trained positions the middle 32 are kept."""
    net = Ssast(arch="ssast", size="tiny", n_frames=512)
    model = SSAST(net, 128, 7, torch.Generator())
    state = {}
    for name, value in model.state_dict().items():
        foreign = name.replace("head.", "mlp_head.") if name.startswith("head.") else f"v.{name}"
        shape = (1, 514, 192) if name == "pos_embed" else value.shape
        state[name] = torch.from_numpy(inputs.fill(foreign, shape, 0))
    table = state["pos_embed"]
    middle = table[:, 2:].unflatten(1, (8, 64))[:, :, 16:48].flatten(1, 2)
    state["pos_embed"] = torch.cat([table[:, :2], middle], dim=1)
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize(("tag", "loss", "head_lr"), [("ce", "ce", 1.0), ("bce_head10", "bce", 10.0)])
def test_five_adam_steps(tag, loss, head_lr):
    inputs, golden = golden_inputs(), golden_file("ssast", "steps.npz")
    model = reference_model(inputs).train()
    optimizer = build_optimizer(model, LayeredOptimizer(lr=1e-4, head_lr=head_lr))
    x = torch.from_numpy(inputs.spectrogram(4, 512, 128, 3))
    y = torch.from_numpy(golden[f"{tag}_target"]).float()
    if loss == "ce":  # the original takes the largest target as the class
        y = torch.nn.functional.one_hot(y.argmax(dim=1), y.shape[1]).float()
    losses = []
    for step in range(5):
        optimizer.zero_grad()
        value = mean_loss(model(x), y, loss)
        value.backward()
        losses.append(value.item())
        if step == 0:
            parameters = dict(model.named_parameters())
            for name, expected in zip(golden["gradnorm_names"], golden[f"{tag}_gradnorm0"], strict=True):
                ours = str(name).removeprefix("v.").replace("mlp_head", "head")
                assert parameters[ours].grad.norm().item() == pytest.approx(expected, rel=2e-5), name
        optimizer.step()
    assert losses == pytest.approx(golden[f"{tag}_losses"].tolist(), rel=1e-4)
    final = dict(model.named_parameters())["head.1.weight"][:, :16].detach().numpy()
    assert np.abs(final - golden[f"{tag}_final_head_w"]).max() < 1e-5
