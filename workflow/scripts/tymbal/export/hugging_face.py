"""A model as `ASTForAudioClassification` of Hugging Face's transformers, which is not needed to write it.

Keys are those of the files on the hub, which all versions of transformers read.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
from torch import Tensor, nn

from tymbal.config.models import Net
from tymbal.errors import InputError
from tymbal.export.card import write_card
from tymbal.files import new_folder, write_json
from tymbal.models.build import load_model
from tymbal.models.card import ModelCard, read_model_card
from tymbal.models.ssast import BACKBONE_EPS, SIZES, SSAST
from tymbal.runs import CARD, WEIGHTS

PREFIX = "audio_spectrogram_transformer."
# Ours -> theirs; the first that fits.
KEYS = {
    r"cls_token": rf"{PREFIX}embeddings.cls_token",
    r"dist_token": rf"{PREFIX}embeddings.distillation_token",
    r"pos_embed": rf"{PREFIX}embeddings.position_embeddings",
    r"patch_embed\.proj\.": rf"{PREFIX}embeddings.patch_embeddings.projection.",
    r"blocks\.(\d+)\.norm1\.": rf"{PREFIX}encoder.layer.\1.layernorm_before.",
    r"blocks\.(\d+)\.norm2\.": rf"{PREFIX}encoder.layer.\1.layernorm_after.",
    r"blocks\.(\d+)\.attn\.proj\.": rf"{PREFIX}encoder.layer.\1.attention.output.dense.",
    r"blocks\.(\d+)\.attn\.qkv\.": rf"{PREFIX}encoder.layer.\1.attention.attention.",  # and which of the three
    r"blocks\.(\d+)\.mlp\.fc1\.": rf"{PREFIX}encoder.layer.\1.intermediate.dense.",
    r"blocks\.(\d+)\.mlp\.fc2\.": rf"{PREFIX}encoder.layer.\1.output.dense.",
    r"norm\.": rf"{PREFIX}layernorm.",
    r"head\.0\.": "classifier.layernorm.",
    r"head\.1\.": "classifier.dense.",
}


def export_hugging_face(folder: Path, out: Path, licence: str | None) -> None:
    """Write a folder that `from_pretrained` reads, with feature extractor and model card.

    Args:
        folder: of the model.
        out: folder to write, which must not be there.
        licence: as `card.write_card` has it.

    Raises:
        InputError: files of the model are missing or damaged, the class has no place for such a network (all reasons
            are told), or `out` is there.
    """
    card, net = read_model_card(folder / CARD)
    if problems := list(_misfits(net, card)):
        remedy = "export it to ONNX instead, or train a model with such settings"
        raise InputError.listing(f"{folder}: ASTForAudioClassification has no place for this network", problems, remedy)
    model, _ = load_model(folder / WEIGHTS, folder / CARD)
    assert isinstance(model, SSAST)
    with new_folder(out) as partial:
        weights = dict(_weights(model))
        (partial / "model.safetensors").write_bytes(safetensors.torch.save(weights, metadata={"format": "pt"}))
        write_json(partial / "config.json", _config(model, card))
        write_json(partial / "preprocessor_config.json", _extractor(card))
        write_card(folder, card, "hugging-face", licence, partial)


def _misfits(net: Net, card: ModelCard) -> Iterator[str]:
    if card.padding == "ignored":
        yield "padding is 'ignored'; expected 'mean' or 'original', as it hears padding"
    if net.arch != "ssast":
        yield f"net.arch is {net.arch!r}; expected 'ssast'"
        return
    if net.size == "base-nokd":
        yield "net.size 'base-nokd' has one class token; expected two, as the other sizes have"
    if net.pooling != "cls":
        yield f"net.pooling is {net.pooling!r}; expected 'cls': it classifies by the class tokens alone"
    if net.patch[0] != net.patch[1]:
        yield f"net.patch is {net.patch}; expected a square"


def _weights(model: SSAST) -> Iterator[tuple[str, Tensor]]:
    """Their keys and tensors.

    There, one epsilon serves all layer norms. Tokens that are sqrt(r) as large have the same norm with r times the
    epsilon, so that the head's larger one is made up for in the gain of the norm before it.
    """
    last = model.get_submodule("head.0")
    assert isinstance(last, nn.LayerNorm)
    shrink = (BACKBONE_EPS / last.eps) ** 0.5
    for name, value in model.state_dict().items():
        pattern = next(pattern for pattern in KEYS if re.match(pattern, name))
        key = re.sub(f"^{pattern}", KEYS[pattern], name)
        if ".attn.qkv." in name:
            start, _, what = key.rpartition(".")
            for part, tensor in zip(("query", "key", "value"), value.chunk(3), strict=True):
                yield f"{start}.{part}.{what}", tensor.contiguous()
        else:
            yield key, value * shrink if name.startswith("norm.") else value


def _config(model: SSAST, card: ModelCard) -> dict[str, object]:
    dim = model.cls_token.shape[-1]
    return {
        "architectures": ["ASTForAudioClassification"],
        "model_type": "audio-spectrogram-transformer",
        "hidden_size": dim,
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": SIZES[card.net["size"]].n_heads,
        "intermediate_size": 4 * dim,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": BACKBONE_EPS,
        "qkv_bias": True,
        "patch_size": model.patch[0],
        "frequency_stride": model.stride[0],
        "time_stride": model.stride[1],
        "max_length": model.input_shape[0],
        "num_mel_bins": model.input_shape[1],
        "problem_type": "multi_label_classification" if card.loss == "bce" else "single_label_classification",
        "id2label": {str(i): name for i, name in enumerate(card.classes)},
        "label2id": {name: i for i, name in enumerate(card.classes)},
    }


def _extractor(card: ModelCard) -> dict[str, object]:
    return {
        "feature_extractor_type": "ASTFeatureExtractor",
        "sampling_rate": card.frontend["sample_rate"],
        "num_mel_bins": card.n_mels,
        "max_length": card.net["n_frames"],
        "do_normalize": True,
        "mean": card.mean,
        "std": card.std,
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }
