"""Files on disk: atomic writing, fingerprints."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tymbal.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT)  # an error of the disk: there is no room


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success rename it to `path`, on failure remove it.

    Works for a file or a folder written under the temporary name. The suffix of `path` is kept, because
    writers such as matplotlib choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """As `atomic`, of a folder that is made; what is there already is not replaced.

    Raises:
        InputError: there is something of this name.
    """
    if path.exists():
        raise InputError(f"{path} is there already. Name another folder, or remove it.")
    with atomic(path) as partial:
        partial.mkdir()
        yield partial


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. NaN and infinity are refused: they are not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, make_object: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        make_object: what becomes of the keys and values of an object, in which a key may be there twice; without it a
            dict, in which the last one counts.

    Raises:
        InputError: the file is not valid JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=make_object)
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}). Delete it and run its rule again.") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits that stand for a JSON-able value; key order does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
