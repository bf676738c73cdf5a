"""Settings of a pre-training, of which only the network and the pretext task matter."""

from tymbal.config.models import EncoderSettings
from tymbal.config.pretrain import Pretraining


def pretraining(net: EncoderSettings, **pretext) -> Pretraining:
    """The pretext task of a network, with the keys given, in a training of one epoch."""
    return Pretraining(
        frontend="fbank",
        corpus="field",
        net=net.model_dump(),
        pretext=pretext,
        train={"epochs": 1, "batch_size": 2, "schedule": {"name": "cosine", "warmup_steps": 0}},
    )
