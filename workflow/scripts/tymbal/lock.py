"""One training at a time in a folder: two would save over each other's checkpoints."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tymbal.errors import InputError

log = logging.getLogger(__name__)

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # as some network file systems answer


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process by a locked file beside it. A process that is killed lets go of it.

    Args:
        folder: need not exist.

    Raises:
        InputError: another process holds it; which one is told.
    """
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _open(folder, path)
    while not _is(file, path):  # its holder removed it between opening and locking
        file.close()
        file = _open(folder, path)
    with file:
        file.truncate(0)
        file.write(_me())
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is locked, so that it is not another's


def _open(folder: Path, path: Path) -> IO[str]:
    """The file, open and locked."""
    file = path.open("a+", encoding="utf-8")  # network file systems lock only what is open for writing
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with file:
            file.seek(0)
            holder = file.read() or "another process"
        raise InputError(
            f"{folder} is in use by {holder}, which runs the same training. Wait for its end, or stop it and start "
            f"again: what it saved is continued. If its machine is gone for good, delete {path}."
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s: no locks on this file system (%s); see to it that no second training runs", path, error)
    return file


def _is(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _me() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    return f"process {os.getpid()} on {os.uname().nodename}" + (f" (Slurm job {job})" if job else "")
