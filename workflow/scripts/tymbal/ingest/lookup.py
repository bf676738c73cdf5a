"""Which audio file a source means: the folder is listed once, names are then looked up in memory."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NoReturn

from tymbal.errors import InputError
from tymbal.ingest.records import clean

log = logging.getLogger(__name__)

# What libsndfile reads and knows by its extension.
SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".caf", ".rf64", ".w64"}


def list_audio(folder: Path) -> list[str]:
    """Audio files at any depth, as sorted POSIX paths relative to `folder`; hidden files and folders are left out.

    Raises:
        InputError: the folder or one in it cannot be listed, or a name is not UTF-8.
    """

    def refuse(error: OSError) -> NoReturn:
        raise InputError(
            f"audio folder {error.filename} cannot be listed ({error.strerror}). "
            "Correct `source.audio` or `data_root`, or the folder's permissions."
        ) from error

    found, other = [], Counter[str]()
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inner = Path(place).relative_to(folder)
        for name in files:
            if name.startswith("."):
                continue
            suffix = PurePosixPath(name).suffix.lower()
            if suffix in SUFFIXES:
                found.append((inner / name).as_posix())
            else:
                other[suffix or "no extension"] += 1
    # Names from an archive packed in another encoding; the manifest could not hold them.
    strange = [ascii(file) for file in found if not _is_utf8(file)]
    if strange:
        raise InputError.listing(f"{folder}: file names that are not UTF-8", strange, "rename them")
    if other:
        counts = ", ".join(f"{suffix}: {n}" for suffix, n in sorted(other.items()))
        log.info("%s: files that are not audio by their extension, not used: %s", folder, counts)
    return sorted(found)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def key(file: str) -> tuple[str, ...]:
    r"""Folders and stem of a name from any system: `D:\rec\A.WAV` gives `("D:", "rec", "A")`.

    Only an audio extension is taken off: stems may hold dots.
    """
    parts = [part for part in clean(file).replace("\\", "/").split("/") if part not in ("", ".")]
    if parts and PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES:
        parts[-1] = PurePosixPath(parts[-1]).stem
    return tuple(parts)


class AudioFiles:
    """Finds files by the names that tables give them: by the stem, and by folders where several share it."""

    def __init__(self, files: Iterable[str]) -> None:
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in files:
            self._by_stem[key(file)[-1]].append(file)

    def find(self, name: str) -> list[str]:
        """Files that `name` may mean: none if missing, several if ambiguous.

        The extension does not count. Of several files with the stem, those sharing the most folders with `name`,
        counted from the end, are meant, and the file with exactly these folders before all others.
        """
        given = key(name)
        candidates = self._by_stem.get(given[-1], []) if given else []
        if len(given) < 2 or len(candidates) < 2:
            return list(candidates)
        scores = [(_shared_tail(given, key(file)), given == key(file)) for file in candidates]
        return [file for file, score in zip(candidates, scores, strict=True) if score == max(scores)]


def _shared_tail(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many parts two paths share, counted from the end."""
    n = 0
    while n < min(len(a), len(b)) and a[-1 - n] == b[-1 - n]:
        n += 1
    return n
