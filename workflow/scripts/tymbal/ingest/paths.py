r"""Paths of any system, as text: which parts they have, and what `path_map` makes of those of another machine.

`D:\a\b`, `D:/a/b`, `/mnt/d/a/b`, `\\host\share\a\b` and mixtures are split alike on every machine; none is looked up.
"""

from collections.abc import Mapping

from tymbal.errors import InputError
from tymbal.ingest.records import clean
from tymbal.roots import split_root


def parts(path: str) -> tuple[str, ...]:
    r"""The parts of a path of any system, in Unicode NFC.

    An absolute path begins with `/`, one of a network with `//` and its host: `\\NAS\field\a` gives
    `("//", "nas", "field", "a")`. Drive letters and hosts, which have no case, are given in lower case.
    """
    text = clean(path).replace("\\", "/")
    for mark in ("//?/", "//./"):  # Windows' way to write long paths
        text = text.removeprefix(mark)
    found = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("//"):
        return ("//", *(part.lower() for part in found[:1]), *found[1:])
    if text.startswith("/"):
        return ("/", *found)
    if found and len(found[0]) == 2 and found[0][1] == ":":
        found[0] = found[0].lower()
    return tuple(found)


def is_absolute(found: tuple[str, ...]) -> bool:
    """Whether `parts` are those of a path from the top of a machine, a drive or a network."""
    return found[:1] in (("/",), ("//",)) or _is_of_windows(found)


def _is_of_windows(found: tuple[str, ...]) -> bool:
    return found[:1] == ("//",) or (len(found) > 0 and len(found[0]) == 2 and found[0][1] == ":")


def _comparable(found: tuple[str, ...]) -> tuple[str, ...]:
    """Windows does not tell capitals apart."""
    return tuple(part.casefold() for part in found) if _is_of_windows(found) else found


class PathMap:
    """Where files named on another machine are in one folder of this machine.

    Args:
        path_map: the setting: beginning of a foreign path -> `ROOT:path`.
        folder: `ROOT:path`.

    Raises:
        InputError: two beginnings are the same, written differently.
    """

    def __init__(self, path_map: Mapping[str, str], folder: str) -> None:
        written: dict[tuple[str, ...], list[str]] = {}
        for prefix in path_map:
            written.setdefault(_comparable(parts(prefix)), []).append(prefix)
        if problems := [" and ".join(several) for several in written.values() if len(several) > 1]:
            raise InputError.listing("path_map: the same folder, written differently", problems, "keep one of them")
        root, inner = split_root(folder)
        self._above = parts(inner)
        # The longest first, as that is the one that counts; None for a target in another root.
        self._targets: list[tuple[tuple[str, ...], tuple[str, ...] | None]] = []
        for beginning in sorted(written, key=len, reverse=True):
            target_root, target = split_root(path_map[written[beginning][0]])
            self._targets.append((beginning, parts(target) if target_root == root else None))

    def inside(self, given: tuple[str, ...]) -> tuple[str, ...] | None:
        """The path below the folder of a file with these parts.

        None if no beginning in the map is that of the file, or the map leads elsewhere.
        """
        for prefix, target in self._targets:
            if _comparable(given[: len(prefix)]) == prefix:
                here = () if target is None else (*target, *given[len(prefix) :])
                n = len(self._above)
                return here[n:] if here[:n] == self._above else None
        return None
