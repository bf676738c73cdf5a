"""Checkpoints that the authors of SSAST, EAT and SSLAM have released, by the names that `init.released` takes."""

from tymbal.config.remote import Remote

FOLDER = "resources/checkpoints/released"


class Release(Remote):
    """A checkpoint: where it is, which network it holds, and what to cite."""

    arch: str
    """of the network, as in `net`"""
    size: str
    """likewise"""
    patch: tuple[int, int] = (16, 16)
    """likewise"""
    work: str
    """its paper, as abbreviated in CITATION.cff"""
    licence: str
    """of the weights"""


def _ssast(address: str, size: str, patch: tuple[int, int]) -> Release:
    return Release(
        url=f"https://www.dropbox.com/s/{address}.pth?dl=1",
        arch="ssast",
        size=size,
        patch=patch,
        work="SSAST",
        licence="BSD-3-Clause",
    )


def _hugging_face(
    name: str, repo: str, work: str, licence: str, size: str = "base", sha256: str | None = None
) -> Release:
    repo, _, revision = repo.partition("@")
    return Release(
        url=f"https://huggingface.co/{repo}/resolve/{revision or 'main'}/model.safetensors",
        file=f"{name}.safetensors",
        sha256=sha256,
        arch="sslam",
        size=size,
        work=work,
        licence=licence,
    )


_EAT = ("EAT", "MIT")
_SSLAM = ("SSLAM", "not stated here: see the model card at the address")
_PATCH, _FRAME = (16, 16), (128, 2)

# Dropbox tells no checksum of SSAST's files, and of some others none was found: they are told as unverified.
RELEASED: dict[str, Release] = {
    "ssast-base-patch-400": _ssast("ewrzpco95n9jdz6/SSAST-Base-Patch-400", "base", _PATCH),
    "ssast-base-frame-400": _ssast("nx6nl4d4bl71sm8/SSAST-Base-Frame-400", "base", _FRAME),
    "ssast-base-patch-250": _ssast("mxrm9qog6aj8hif/SSAST-Base-Patch-250", "base", _PATCH),
    "ssast-base-frame-250": _ssast("4e6l7ulhwrfoana/SSAST-Base-Frame-250", "base", _FRAME),
    "ssast-small-patch-400": _ssast("i24w446rl9pkf05/SSAST-Small-Patch-400", "small", _PATCH),
    "ssast-tiny-patch-400": _ssast("fkbtf78y94113wz/SSAST-Tiny-Patch-400", "tiny", _PATCH),
    "ssast-tiny-frame-400": _ssast("rx7g60ruzawffzv/SSAST-Tiny-Frame-400", "tiny", _FRAME),
    "eat-base": _hugging_face(
        "eat-base",
        "worstchan/EAT-base_epoch30_pretrain",
        *_EAT,
        sha256="8623072d09aac4f3ad1168b4fed3a24e4f68fe1da25b9fe733375efb237e5f48",
    ),
    "eat-base-as2m": _hugging_face(
        "eat-base-as2m",
        "worstchan/EAT-base_epoch30_finetune_AS2M@60d61e8b2e9e5ba3be6860285de80cb7d625ccbb",
        *_EAT,
    ),
    "eat-large": _hugging_face(
        "eat-large",
        "worstchan/EAT-large_epoch20_pretrain@1109aaae544915a2b82182c643c1894b1b4d9f27",
        *_EAT,
        size="large",
    ),
    "eat-large-as2m": _hugging_face("eat-large-as2m", "worstchan/EAT-large_epoch20_finetune_AS2M", *_EAT, size="large"),
    "sslam-base": _hugging_face(
        "sslam-base",
        "ta012/SSLAM_pretrain",
        *_SSLAM,
        sha256="8ec670adb241c710422ddd894ff1bade142ef0b25cf1ee68577aa45f89432298",
    ),
    "sslam-base-as2m": _hugging_face("sslam-base-as2m", "ta012/SSLAM_AS2M_Finetuned", *_SSLAM),
}


def local_path(name: str) -> str:
    """Where `download` puts a checkpoint, relative to the working directory."""
    return f"{FOLDER}/{RELEASED[name].name}"
