"""AudioSet-style JSON manifests: `{"data": [{"wav": ..., "labels": ..., "weights": ...}]}`."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tymbal.config.data import JsonSource
from tymbal.errors import InputError
from tymbal.ingest.lookup import key
from tymbal.ingest.records import Reading, Record, clean
from tymbal.ingest.text import parse_json, read_text
from tymbal.ingest.vocabulary import Vocabulary, translate_labels
from tymbal.roots import locate

KEYS = ("wav", "labels", "weights")
Named = tuple[tuple[str, float], ...] | None


class Entry(NamedTuple):
    """One entry of a manifest, checked.

    Attributes:
        wav: the file named.
        where: manifest and number of the entry.
        part: train, val or test; empty if the manifest is the only one.
        named: name of a label and weight, in the entry's order; None if it says nothing about labels.
    """

    wav: str
    where: str
    part: str
    named: Named


def read(source: JsonSource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Read one manifest, or one for each part.

    `labels` is a name, several names with commas between, or a list of names. A text is first tried as one name, as
    names may hold commas. An entry without `labels`, or whose labels are all dropped, is unlabelled. Empty `labels`
    say that someone listened and none of the classes is there: weight 0 for each. `weights` go with `labels` one by
    one; without them all are 1. Of two names for one class the larger weight counts. Without classes, labels are not
    read: manifests for self-supervised training hold some only because their programs ask for them.

    Args:
        source: the manifests' settings.
        vocabulary: the classes.
        roots: name of a root -> folder.
        files: the audio files; their names tell the encoding.

    Returns:
        One record an entry, in the order of the manifests; its fold is the part.

    Raises:
        InputError: a manifest cannot be read or has another form, entries are wrong, a file has several entries, or
            labels stand for no class.
    """
    manifests = source.manifests if isinstance(source.manifests, dict) else {"": source.manifests}
    place = ", ".join(manifests.values())
    names = Names(source.class_names, vocabulary)
    facts: dict[str, int | str] = {}
    unused: Counter[str] = Counter()
    shared: dict[Named, Named] = {}  # a million entries have few different labels
    entries: list[Entry] = []
    problems: list[str] = []
    for part, manifest in manifests.items():
        expected = vocabulary.expected(source.class_names, files)
        data, facts[f"encoding of {manifest}"] = _data(locate(manifest, roots), expected)
        for number, raw in enumerate(data, 1):
            where = f"{manifest} entry {number}"
            try:
                named = _named(raw, names)
            except ValueError as error:
                problems.append(f"{where}: {error}")
            else:
                entries.append(Entry(raw["wav"], where, part, shared.setdefault(named, named)))
                unused.update(raw.keys() - KEYS)
    if problems:
        remedy = (
            'an entry is {"wav": path, "labels": name or names, "weights": a number in (0, 1] for each label}; '
            "`labels` and `weights` may be absent"
        )
        raise InputError.listing(f"{place}: entries", problems, remedy)
    _check_files_once(entries, place)

    if not vocabulary.names:
        return Reading([Record(entry.wav, entry.where, None, fold=entry.part) for entry in entries], facts)
    counts: Counter[str] = Counter()
    for named, n in Counter(entry.named for entry in entries).items():
        for name, _ in named or ():
            counts[name] += n
    translation = translate_labels(counts, source.class_names, vocabulary, place, unknown=source.unknown_labels)
    labels = {named: translation.labels(named) if named else {} for named in shared if named is not None}
    records = [
        Record(entry.wav, entry.where, None if entry.named is None else labels[entry.named], fold=entry.part)
        for entry in entries
    ]
    n_empty = sum(entry.named == () for entry in entries)
    facts |= {
        "entries without labels, unlabelled": sum(entry.named is None for entry in entries),
        "entries with empty labels, without any of the classes": n_empty,
        **translation.facts,
    }
    warnings = list(translation.warnings)
    if dropped := sum(record.labels is None for record in records) - sum(entry.named is None for entry in entries):
        facts["entries with dropped labels only, unlabelled"] = dropped
    if n_empty:
        warnings.append(
            f"{place}: entries with empty labels, taken as listened to and without any of the classes: {n_empty}; "
            "leave the key `labels` out of entries that nobody listened to"
        )
    if unused:
        told = ", ".join(f"{name!r} ({n} entries)" for name, n in sorted(unused.items()))
        warnings.append(f"{place}: keys that are not used: {told}")
    return Reading(records, facts, warnings)


class Names:
    """Which names a text with labels holds. Each different text is taken apart once."""

    def __init__(self, class_names: Mapping[str, str], vocabulary: Vocabulary) -> None:
        self._mapped = {clean(name) for name in class_names}
        self._vocabulary = vocabulary
        self._known: dict[str, tuple[str, ...]] = {}

    def of(self, text: str) -> tuple[str, ...]:
        """One name if the whole text is one, else those between its commas."""
        if text not in self._known:
            whole = clean(text)
            is_one = whole in self._mapped or self._vocabulary.class_of(whole) is not None
            self._known[text] = (whole,) if is_one else tuple(clean(name) for name in whole.split(","))
        return self._known[text]


def _data(path: Path, names: Collection[str]) -> tuple[list[Any], str]:
    """The list under `data`, and the encoding."""

    def parse(text: str) -> list[Any]:
        value = parse_json(text, path.name)
        data = value.get("data") if isinstance(value, dict) else None
        if not isinstance(data, list) or not data:
            raise InputError(
                f'{path} holds no entries; expected {{"data": [{{"wav": "a.wav", "labels": "Bird"}}, ...]}}. '
                "Correct `source.manifests`, or the file."
            )
        return data

    return read_text(path, parse, names)


def _named(raw: Any, names: Names) -> Named:
    """An entry's labels with their weights. Raises ValueError with what is wrong with it."""
    if not isinstance(raw, dict):
        raise ValueError(f"{_short(raw)} is no object")
    wav, labels, weights = (raw.get(key) for key in KEYS)
    if not isinstance(wav, str) or not wav.strip():
        raise ValueError(f"wav: {_short(wav)}" if "wav" in raw else "no wav")
    found = _names(labels, names)
    if weights is None:
        return None if found is None else tuple((name, 1.0) for name in found)
    n_labels = len(found or ())
    if not isinstance(weights, list) or len(weights) != n_labels:
        given = len(weights) if isinstance(weights, list) else _short(weights)
        raise ValueError(f"labels: {n_labels}, weights: {given}")
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1:
            raise ValueError(f"weight {_short(weight)}")
    return None if found is None else tuple(zip(found, map(float, weights), strict=True))


def _names(labels: Any, names: Names) -> tuple[str, ...] | None:
    """The names in one of the forms that labels have."""
    if labels is None:
        return None
    if isinstance(labels, str):
        found = names.of(labels) if labels.strip() else ()
    elif isinstance(labels, list) and all(isinstance(name, str) for name in labels):
        found = tuple(clean(name) for name in labels)
    else:
        raise ValueError(f"labels: {_short(labels)}")
    if "" in found:
        raise ValueError(f"labels: {_short(labels)} with a blank name")
    return found


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return "lists in lists"
    return text if len(text) <= 80 else f"{text[:80]}..."


def _check_files_once(entries: Sequence[Entry], place: str) -> None:
    first: dict[str, str] = {}
    problems = []
    for entry in entries:
        before = first.setdefault("/".join(key(entry.wav)), entry.where)
        if before != entry.where:
            problems.append(f"{entry.where}: {entry.wav!r}, as {before}")
    if problems:
        remedy = "keep one entry a file, in one part; extensions do not count"
        raise InputError.listing(f"{place}: files with several entries", problems, remedy)
