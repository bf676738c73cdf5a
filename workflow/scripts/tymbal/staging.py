"""Feature stores on a node's own disk: where many jobs read one network file system, a training copies them first."""

import hashlib
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template

from tymbal.errors import InputError
from tymbal.files import sha256
from tymbal.layout import INDEX, STATE, read_index

log = logging.getLogger(__name__)

CHUNK = 2**24  # bytes
REMEDY = "Name another folder in `stage` of the configuration, or leave it out to read the features where they are."


@contextmanager
def staged(stores: Sequence[Path], stage: str | None) -> Iterator[list[Path]]:
    """Copies of feature stores, each file compared with its original by SHA-256; removed at the end.

    Args:
        stores: folders as `FeatureStore` reads them.
        stage: folder on a disk of this machine, such as `$TMPDIR`; variables are those of this machine. None: no
            copies, the stores themselves.

    Yields:
        The folders to read, in the order given.

    Raises:
        InputError: the folder is not there, is too small or cannot be written, or a copy differs from its original.
    """
    if stage is None:
        yield list(stores)
        return
    folder = _expanded(stage)
    files = {store: _files(store) for store in stores}
    n_bytes = sum(file.stat().st_size for store in stores for file in files[store])
    _check_space(folder, n_bytes)
    try:
        # Of this job alone, so that jobs on one machine do not meet, and nothing unfinished is taken for a copy.
        job = tempfile.TemporaryDirectory(prefix="tymbal-", dir=folder)
    except OSError as error:
        raise _failed(folder, error) from error
    try:
        copies = [Path(job.name) / str(store).lstrip("/") for store in stores]  # messages then show which store it is
        started = time.monotonic()
        try:
            for store, copy in zip(stores, copies, strict=True):
                for file in files[store]:
                    _copy(file, copy / file.relative_to(store))
        except OSError as error:
            raise _failed(folder, error) from error
        seconds = time.monotonic() - started
        log.info("staged %d bytes in %s in %.1f s (%.0f MB/s)", n_bytes, job.name, seconds, n_bytes / 1e6 / seconds)
        yield copies
    finally:
        # Of several processes the first that ends has the others ended; that must not interrupt the removal.
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        job.cleanup()
        signal.signal(signal.SIGTERM, before)


def _expanded(stage: str) -> Path:
    try:
        folder = Path(Template(stage).substitute(os.environ))
    except KeyError as error:
        raise InputError(
            f"stage: {stage!r} names the variable {error.args[0]}, which is not set on {os.uname().nodename}. {REMEDY}"
        ) from None
    if not folder.is_dir():
        raise InputError(f"stage: {folder} ({stage!r}) is not a folder on {os.uname().nodename}. {REMEDY}")
    return folder


def _files(store: Path) -> list[Path]:
    """What a reader of the store reads: not unfinished parts, nor parts of an earlier division."""
    return [store / name for name in (STATE, INDEX, *read_index(store / INDEX)["shard"].unique())]


def _check_space(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise InputError(
            f"stage: the features need {n_bytes / 1e9:.2f} GB, but {folder} on {os.uname().nodename} has "
            f"{free / 1e9:.2f} GB free. {REMEDY}"
        )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as original, target.open("xb") as copy:
        while chunk := original.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
        os.posix_fadvise(copy.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # to be read from the disk, not from memory
    if sha256(target) != digest.hexdigest():
        raise InputError(
            f"stage: the copy {target} on {os.uname().nodename} differs from {source}: its disk does not keep what is "
            f"written. {REMEDY}"
        )


def _failed(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"stage: {error.filename or folder} on {os.uname().nodename}: {error.strerror} while copying the features. "
        f"{REMEDY}"
    )
