"""The classes of a data set, in their order, and which of them a name in a source stands for."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal

from tymbal.errors import InputError
from tymbal.ingest.records import Table, clean, read_table
from tymbal.ingest.text import parse_json, read_text
from tymbal.roots import locate

MOST_STEMS = 100  # of files, looked for in a text to tell its encoding


@dataclass(frozen=True)
class Vocabulary:
    """Classes; their order is part of every model.

    Attributes:
        names: the classes, cleaned, each once.
        mids: further name of a class (AudioSet's machine id) -> class.
        facts: how it was read, as of a `Reading`.
    """

    names: tuple[str, ...]
    mids: Mapping[str, str] = field(default_factory=dict)
    facts: dict[str, int | str] = field(default_factory=dict)

    def class_of(self, name: str) -> str | None:
        """The class of this name, or else of this machine id; None if there is none."""
        name = clean(name)
        return name if name in self.names else self.mids.get(name)

    def expected(self, class_names: Mapping[str, str], files: Sequence[str]) -> set[str]:
        """Names by which the encoding of a source is told.

        Those that `class_names` maps, classes that it maps none to, and stems of files that are not ASCII.
        """
        mapped = {self.class_of(to) for to in class_names.values()}
        stems = (PurePosixPath(file).stem for file in files if not file.isascii())
        return {clean(name) for name in class_names} | (set(self.names) - mapped) | set(islice(stems, MOST_STEMS))


def read_vocabulary(classes: Sequence[str] | str | None, roots: Mapping[str, Path]) -> Vocabulary:
    """The classes as a data set's setting gives them.

    Args:
        classes: the setting: names, or the path of a class map (CSV with `index,mid,display_name`) or of a vocabulary
            (JSON with `all_classes`). None, of a data set without labels, gives no class.
        roots: name of a root -> folder.

    Raises:
        InputError: the file is not as expected, or names are blank or equal apart from blanks and Unicode forms.
    """
    if classes is None:
        return Vocabulary(())
    if not isinstance(classes, str):
        return _checked(classes, {}, "`classes`")
    path = locate(classes, roots)
    if path.suffix.lower() == ".json":
        names, encoding = read_text(path, lambda text: _all_classes(parse_json(text, path.name), path))
        return replace(_checked(names, {}, path.name), facts={f"encoding of {path.name}": encoding})
    table = read_table(path, {})
    return replace(_class_map(table), facts=table.facts)


def _checked(names: Sequence[str], mids: Mapping[str, str], place: str) -> Vocabulary:
    cleaned = tuple(clean(name) for name in names)
    problems = [f"{name!r} occurs {n} times" for name, n in _repeated(cleaned).items()]
    problems += [f"class {i} has no name" for i, name in enumerate(cleaned, 1) if not name]
    if len(cleaned) < 2:
        problems.append(f"classes: {len(cleaned)}, expected two or more")
    if problems:
        remedy = "keep each class once; names are compared without surrounding blanks and in one Unicode form"
        raise InputError.listing(f"{place}: classes", problems, remedy)
    return Vocabulary(cleaned, mids)


def _repeated(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in dict.fromkeys(names) if name and names.count(name) > 1}


def _all_classes(value: object, path: Path) -> list[str]:
    names = value.get("all_classes") if isinstance(value, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f'{path} holds no class names. A vocabulary is {{"all_classes": ["Bird", ...]}}, in the order of the '
            "classes; a class map is a CSV."
        )
    return names


def _class_map(table: Table) -> Vocabulary:
    named = [column for column in ("display_name", "mid") if column in table.columns]
    if not named:
        raise InputError(
            f"{table.name}: no column 'display_name' or 'mid'; columns found: {list(table.columns)}. "
            "A class map has the columns index (optional), mid and display_name."
        )
    rows = list(table.rows)
    if "index" in table.columns:
        indices = [row.cells["index"] for row in rows]
        numbers = [int(i) if re.fullmatch(r"[0-9]{1,9}", i) else -1 for i in indices]
        problems = [f"{row.where}: {i!r}" for row, i, n in zip(rows, indices, numbers, strict=True) if n < 0]
        problems += [f"index {i} occurs {n} times" for i, n in _repeated(indices).items()]
        if not problems:
            problems += [f"index {i} is absent" for i in range(len(rows)) if i not in numbers]
        if problems:
            raise InputError.listing(
                f"{table.name}: column index", problems, "number the classes 0, 1, 2, ..., each once"
            )
        rows = [row for _, row in sorted(zip(numbers, rows, strict=True), key=lambda pair: pair[0])]
    names = [row.cells[named[0]] for row in rows]
    if named != ["display_name", "mid"]:
        return _checked(names, {}, table.name)
    mids = [row.cells["mid"] for row in rows]
    if repeated := _repeated(mids):
        problems = [f"{mid!r} occurs {n} times" for mid, n in repeated.items()]
        raise InputError.listing(f"{table.name}: column mid", problems, "keep each class once")
    return _checked(names, {mid: name for mid, name in zip(mids, names, strict=True) if mid}, table.name)


# --- names in a source ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Translation:
    """What the names in a source mean.

    Attributes:
        meaning: cleaned name -> class; None for a name that stands for no class.
        facts: as of a `Reading`.
        warnings: as of a `Reading`.
    """

    meaning: Mapping[str, str | None]
    facts: dict[str, int | str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def labels(self, named: Iterable[tuple[str, float]]) -> dict[str, float] | None:
        """Class -> weight; of two names for one class the larger counts. None if no name stands for a class."""
        labels: dict[str, float] = {}
        for name, weight in named:
            if (label := self.meaning[name]) is not None:
                labels[label] = max(weight, labels.get(label, 0.0))
        return labels or None


def translate_columns(
    found: Collection[str], class_names: Mapping[str, str], vocabulary: Vocabulary, place: str, kind: str
) -> Translation:
    """The classes of columns that are named after them. What stands for no class is for the caller to tell.

    Args:
        found: cleaned names of the columns.
        class_names: the setting: name in the source -> class. A name it does not hold is the class's own.
        vocabulary: the classes.
        place: the table, for messages.
        kind: what carries a name there, such as `tag column`.

    Raises:
        InputError: a class that no column stands for, or a key of `class_names` without a column.
    """
    meaning = _meaning(found, class_names, vocabulary)
    problems = [f"class {name!r} of `classes`: no {kind} stands for it" for name in _absent(meaning, vocabulary)]
    problems += [f"{name!r} of `source.class_names`: no {kind} of this name" for name in _unused(found, class_names)]
    if problems:
        raise InputError.listing(place, problems, f"correct these settings; names found: {sorted(found)}")
    return Translation(meaning)


def translate_labels(
    counts: Mapping[str, int],
    class_names: Mapping[str, str],
    vocabulary: Vocabulary,
    place: str,
    kinds: str = "labels",
    unknown: Literal["error", "drop"] | None = None,
) -> Translation:
    """The classes of labels that are values: of cells, entries or folders. A class may well have none.

    Args:
        counts: cleaned name -> how often it occurs.
        class_names: the setting: name in the source -> class. A name it does not hold is the class's own.
        vocabulary: the classes.
        place: the file or folder, for messages.
        kinds: what carries a name there, such as `folders`.
        unknown: the setting `unknown_labels`; None if the format has no such setting, which refuses them as well.

    Raises:
        InputError: names that stand for no class, unless these are to be dropped.
    """
    meaning = _meaning(counts, class_names, vocabulary)
    strange = {name: counts[name] for name in sorted(counts) if meaning[name] is None}
    if strange and unknown != "drop":
        remedy = "add them to `classes`, map them with `source.class_names`, or take them out of the source"
        if unknown == "error":
            remedy += "; with `source.unknown_labels: drop` such labels are left out and counted"
        problems = [f"{name!r}: {n} times" if n > 1 else f"{name!r}: once" for name, n in strange.items()]
        raise InputError.listing(f"{place}: {kinds} that stand for no class", problems, remedy)
    facts: dict[str, int | str] = {}
    warnings = []
    if strange:
        facts[f"{kinds} of no class, dropped"] = sum(strange.values())
        told = ", ".join(f"{name!r} ({n})" for name, n in strange.items())
        warnings.append(f"{place}: {kinds} that stand for no class, dropped: {told}")
    if absent := _absent(meaning, vocabulary):
        warnings.append(f"{place}: classes without {kinds}: {', '.join(map(repr, absent))}")
    if unused := _unused(counts, class_names):
        warnings.append(f"{place}: names of `source.class_names` without {kinds}: {', '.join(map(repr, unused))}")
    return Translation(meaning, facts, warnings)


def _meaning(found: Iterable[str], class_names: Mapping[str, str], vocabulary: Vocabulary) -> dict[str, str | None]:
    setting = {clean(name): to for name, to in class_names.items()}
    problems = [
        f"{name!r} -> {to!r}, which is no class" for name, to in class_names.items() if vocabulary.class_of(to) is None
    ]
    if len(setting) < len(class_names):
        problems.append("two names that are the same, written differently")
    if problems:
        raise InputError.listing("`source.class_names`", problems, f"correct it; classes: {list(vocabulary.names)}")
    return {name: vocabulary.class_of(setting.get(name, name)) for name in found}


def _absent(meaning: Mapping[str, str | None], vocabulary: Vocabulary) -> list[str]:
    return [name for name in vocabulary.names if name not in meaning.values()]


def _unused(found: Collection[str], class_names: Mapping[str, str]) -> list[str]:
    return [clean(name) for name in class_names if clean(name) not in found]
