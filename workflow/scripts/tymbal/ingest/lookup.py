"""Which file a source means: the folder is listed once, names are then looked up in memory."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn

from tymbal.config.data import SIDE_FILE
from tymbal.errors import InputError
from tymbal.files import write_text
from tymbal.ingest.paths import PathMap, is_absolute, parts

log = logging.getLogger(__name__)

# What libsndfile reads and knows by its extension.
_NAMES = "wav wave bwf rf64 w64 flac ogg oga opus mp3 mp2 aiff aif aifc au snd caf voc sph nist iff svx"
SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())
FEATURE_SUFFIXES = frozenset({".pt"})

_TAKEN_OFF = {suffix[1:] for suffix in SUFFIXES | FEATURE_SUFFIXES}

# How a file was found, the surest way first.
PATH_MAP, FOLDERS, NAME = "path_map", "folders and name", "name only"
ELSEWHERE = "name only, in another folder than the source names"


class Found(NamedTuple):
    """What a name may mean.

    Attributes:
        files: none if missing, several if ambiguous.
        rule: how they were found.
        near: if missing, a file of this name that lies elsewhere than the source says.
    """

    files: list[str]
    rule: str
    near: str = ""


def list_files(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Files at any depth, as sorted POSIX paths relative to `folder`; hidden files and folders are left out.

    Args:
        folder: where to look.
        suffixes: `SUFFIXES` for audio, or `FEATURE_SUFFIXES`.

    Raises:
        InputError: the folder or one in it cannot be listed, or a name is not UTF-8.
    """

    def refuse(error: OSError) -> NoReturn:
        raise InputError(
            f"folder {error.filename} cannot be listed ({error.strerror}). "
            "Correct its path in the settings, `data_root`, `roots` or `recordings`, or the folder's permissions."
        ) from error

    found, other = [], Counter[str]()
    above: dict[str, set[tuple[int, int]]] = {}  # folder -> itself and those it lies in; a link may lead back into one
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        status = Path(place).stat()
        before_it = above.get(str(Path(place).parent), set())
        if (status.st_dev, status.st_ino) in before_it:
            folders.clear()
            continue
        above[str(Path(place))] = before_it | {(status.st_dev, status.st_ino)}
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inner = Path(place).relative_to(folder).as_posix()
        before = "" if inner == "." else f"{inner}/"
        for name in files:
            if name.startswith("."):
                continue
            suffix = PurePosixPath(name).suffix.lower()
            if suffix in suffixes and name != SIDE_FILE:
                found.append(before + name)
            else:
                other[suffix or "no extension"] += 1
    if strange := [f"{file!a}: {why}" for file in found if (why := _unwritable(file))]:
        raise InputError.listing(f"{folder}: file names that are not UTF-8, or hold a line end", strange, "rename them")
    if other:
        counts = ", ".join(f"{suffix}: {n}" for suffix, n in sorted(other.items()))
        log.info("%s: files with other extensions, not used: %s", folder, counts)
    return sorted(found)


def write_names(files: Iterable[str], path: Path) -> None:
    """Write names of files, one a line."""
    write_text(path, "".join(f"{file}\n" for file in files))


def read_names(path: Path) -> list[str]:
    """Read what `write_names` wrote."""
    return path.read_text(encoding="utf-8").splitlines()


def _unwritable(name: str) -> str:
    """Why a table could not hold a name; empty if it could."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "not UTF-8, as of an archive that was packed in another encoding"
    return "" if name.splitlines() == [name] else "holds a line end"


def key(file: str) -> tuple[str, ...]:
    r"""Folders and stem of a name from any system: `D:\rec\A.WAV` gives `("d:", "rec", "A")`.

    Only an extension of audio or features is taken off: stems may hold dots.
    """
    return _key(parts(file))


def _key(found: tuple[str, ...]) -> tuple[str, ...]:
    if not found:
        return ()
    stem, _, ending = found[-1].rpartition(".")
    return (*found[:-1], stem) if stem and ending.lower() in _TAKEN_OFF else found


class AudioFiles:
    """Finds files by the names that sources give them.

    By the place that `path_map` tells, and nowhere else if it tells one. Else by the stem; of several files with it,
    those sharing the most folders with the name, counted from the end, are meant, and the file with exactly these
    folders before all others. A file of this stem in a folder of another name is the one meant only if the name is an
    absolute path, of a folder on another machine; beside a path in the audio folder it is another recorder's.

    Args:
        files: all there are, relative to their folder.
        path_map: where files named on other machines are in it.
    """

    def __init__(self, files: Iterable[str], path_map: PathMap) -> None:
        self._path_map = path_map
        self._by_stem: dict[str, str] = {}
        self._sharing: dict[str, list[str]] = {}  # the stems of several files
        for file in files:
            stem = key(file)[-1]
            first = self._by_stem.setdefault(stem, file)
            if first is not file:
                self._sharing.setdefault(stem, [first]).append(file)

    def find(self, name: str, whole: bool = False) -> Found:
        """The files that a name may mean; its extension does not count.

        Args:
            name: as the source gives it.
            whole: it is the whole path in the folder, and means no file elsewhere.
        """
        named = parts(name)
        given = _key(named)
        if not given or given[-1] not in self._by_stem:
            return Found([], NAME)
        candidates = self._sharing.get(given[-1]) or [self._by_stem[given[-1]]]
        keys = [key(file) for file in candidates]
        if whole:
            return Found(_those(candidates, keys, given), FOLDERS)
        mapped = self._path_map.inside(named)
        if mapped is not None:
            here = _those(candidates, keys, _key(mapped))
            return Found(here, PATH_MAP, "" if here else candidates[0])
        if len(given) == 1:
            return Found(list(candidates), NAME)
        shared = [_shared_tail(given, own) for own in keys]
        nearest = [file for file, n in zip(candidates, shared, strict=True) if n == max(shared)]
        if max(shared) > 1:
            return Found(_those(candidates, keys, given) or nearest, FOLDERS)
        if len(candidates) > 1 or len(keys[0]) == 1:  # not in a folder, so that none differs
            return Found(list(candidates), NAME)
        return Found(candidates, ELSEWHERE) if is_absolute(named) else Found([], NAME, candidates[0])


def _those(files: Sequence[str], keys: Sequence[tuple[str, ...]], wanted: tuple[str, ...]) -> list[str]:
    return [file for file, own in zip(files, keys, strict=True) if own == wanted]


def _shared_tail(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many parts two paths share, counted from the end."""
    n = 0
    while n < min(len(a), len(b)) and a[-1 - n] == b[-1 - n]:
        n += 1
    return n
