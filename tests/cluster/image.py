"""The container image for tests: built as users build it, by an ordinary user of its own, and kept for the next run.

By hand, as root on Debian: `python tests/cluster/image.py` prints where it is.
"""

import os
import pwd
import re
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import apptainer
import debian

REPO = Path(__file__).resolve().parents[2]
sys.path.append(str(REPO / "workflow" / "scripts"))

from tymbal.image import BUILD, DEFINITION, PINS, image_path  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tymbal"
KEPT = 3  # of these, 3 GB each: other branches may have other pins
NEEDED = (BUILD, DEFINITION, PINS, "workflow/scripts/tymbal/__init__.py", "workflow/scripts/tymbal/image.py")
USER = "tymbal-build"
TEMPORARY, NEEDED_BYTES = Path("/var/tmp"), 20e9
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def build_or_find() -> Path:
    """The image of this checkout, in the cache of this user; built if it is not there, which takes ten minutes.

    Raises:
        RuntimeError: the build failed; with what it said.
    """
    apptainer.find_or_install()
    image = cached()
    with debian.alone("image"):
        if not image.exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            _build(image)
            for old in sorted(CACHE.glob("*.sif"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
                old.unlink()
    return image


def cached() -> Path:
    """Where the image of this checkout is kept, if it was built."""
    return CACHE / Path(image_path(REPO)).name


def _build(image: Path) -> None:
    # From the machine's own mirrors: the packages' archive, and pip's index if one is set.
    options = ["--build-arg", "BOOTSTRAP=debootstrap", "--build-arg", f"MIRROR={debian.mirror()}"]
    options += ["--build-arg", f"INDEX={_index()}"]
    if CERTIFICATES.exists():
        options += ["--bind", str(CERTIFICATES)]
    options += [
        "--mksquashfs-args",
        "-comp zstd -Xcompression-level 3",
    ]  # fast; the default, gzip, is what old kernels read
    with tempfile.TemporaryDirectory(prefix="tymbal-image-", dir=TEMPORARY) as name:
        folder = Path(name)
        for needed in NEEDED:
            (folder / needed).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / needed, folder / needed)
        with suppress(KeyError):  # left by a build that was killed
            pwd.getpwnam(USER)
            debian.run("userdel", USER)
        debian.run("useradd", "--no-create-home", "--home-dir", folder, USER)
        try:
            debian.run("chown", "--recursive", USER, folder)
            own = ("env", f"HOME={folder}", f"APPTAINER_TMPDIR={folder}", folder / BUILD)
            debian.run("runuser", "--user", USER, "--", *own, *options)
        finally:
            debian.run("userdel", USER)
        built = shutil.move(folder / image_path(REPO), image.with_suffix(".partial"))
        shutil.chown(built, os.geteuid(), os.getegid())
        Path(built).rename(image)


def _index() -> str:
    """Address of the package index that pip uses here; empty for its own."""
    settings = debian.run(sys.executable, "-m", "pip", "config", "list")
    found = dict(re.findall(r"^(\S+)\.index-url='(.*)'$", settings, re.MULTILINE))
    return found.get(":env:", found.get("install", found.get("global", "")))


if __name__ == "__main__":
    if why := debian.unusable():
        sys.exit(why)
    print(build_or_find())
