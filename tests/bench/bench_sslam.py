"""A step of EAT's and of SSLAM's pre-training on one core, against what the original code needs.

Its figures were measured apart, forward and backward in float32: the middle of the ranges in CPU seconds on a virtual
machine of which others used a part. So compare them with what this tells on such a machine.
"""

import time

import torch
from harness import Measurement, benchmark, median

from tymbal.config.pretrain import Pretraining
from tymbal.devices import peak_memory_mb
from tymbal.pretrain.sslam import MaskedLatentModel

N_MELS, N_FRAMES, BATCH_SIZE = 128, 1024, 2
REPEATS = 3


@benchmark("sslam_stage1_step")
def sslam_stage1_step() -> list[Measurement]:
    """EAT base, 2 clips of 1024 frames, 16 masks of each."""
    return _step(stage=1, original_seconds=35.0, original_memory=6400)


@benchmark("sslam_stage2_step")
def sslam_stage2_step() -> list[Measurement]:
    """SSLAM base, 2 clips of 1024 frames, 8 masks of each and of its mixture."""
    return _step(stage=2, original_seconds=36.5, original_memory=6700)


def _step(stage: int, original_seconds: float, original_memory: float) -> list[Measurement]:
    """Draws, forward and backward in float32. CPU time, as others may compute too."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    settings = Pretraining.model_validate(
        {
            "frontend": "fbank128",
            "corpus": "noise",
            "net": {"arch": "sslam", "size": "base", "n_frames": N_FRAMES},
            "pretext": {"stage": stage},
            "train": {"epochs": 1, "batch_size": BATCH_SIZE},
        }
    )
    model = MaskedLatentModel(settings, N_MELS, generator).train()
    x = torch.randn(BATCH_SIZE, N_FRAMES, N_MELS, generator=generator)

    def step() -> None:
        model.zero_grad()
        model.losses(x, None, generator)["loss"].backward()

    seconds = median(step, REPEATS, time.process_time)
    name = f"sslam_stage{stage}_step"
    return [
        Measurement(name, seconds, "s/step per core", original_seconds, repeats=REPEATS),
        Measurement(f"{name}_memory", peak_memory_mb(torch.device("cpu")), "MB", original_memory),
    ]
