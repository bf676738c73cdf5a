"""Name of the container image that belongs to this checkout: `PYTHONPATH=workflow/scripts python3 -m tymbal.image`.

Runs on a login node before anything is installed: the standard library of an old Python 3 must do.
"""

import hashlib
from pathlib import Path

from tymbal import __version__

DEFINITION, PINS, BUILD = "containers/tymbal.def", "envs/science.txt", "containers/build.sh"


def image_path(repo: Path) -> str:
    """Path of the image below the repository, `containers/tymbal-<version>-<digest>.sif`.

    The digest is that of all the image is made from: a changed pin is another file.

    Args:
        repo: root of the checkout.
    """
    digest = hashlib.sha256()
    for name in (DEFINITION, PINS):
        digest.update(hashlib.sha256((Path(repo) / name).read_bytes()).digest())
    return f"containers/tymbal-{__version__}-{digest.hexdigest()[:8]}.sif"


if __name__ == "__main__":
    print(image_path(Path()))
