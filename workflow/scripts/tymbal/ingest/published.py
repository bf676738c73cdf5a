"""Public data sets as their archives unpack: each layout's own reader, and what its names mean here."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

from tymbal.config.data import PublishedSource
from tymbal.config.layouts import LAYOUTS
from tymbal.ingest.layouts import audioset, birdnet, fsd50k, fsdd, spass, speech_commands, urban_sed
from tymbal.ingest.layouts.entry import Entry, Told
from tymbal.ingest.records import Event, Reading, Record, clean
from tymbal.ingest.vocabulary import Vocabulary, translate_labels
from tymbal.roots import locate

# By layout: takes the folder of the data set and all audio files in it, relative to it. The names are those of
# `config.layouts.LAYOUTS`, which says what configuration must know of each.
READERS: dict[str, Callable[[Path, Sequence[str]], list[Entry] | Told]] = {
    "speech-commands-v1": speech_commands.read_v1,
    "speech-commands-v2": speech_commands.read_v2,
    "fsdd": fsdd.read,
    "fsd50k": fsd50k.read,
    "urban-sed": urban_sed.read,
    "audioset-20k": partial(audioset.read, tables=audioset.AS20K),
    "audioset-2m": partial(audioset.read, tables=audioset.AS2M),
    **{
        name: partial(spass.read, table=LAYOUTS[name].tables[0])
        for name in ("spass-market", "spass-park", "spass-square", "spass-street", "spass-waterfront")
    },
    "birdnet": birdnet.read,
}


def read(source: PublishedSource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Read a public data set by its layout. All labels have weight 1.0; a file that holds none is a negative.

    Args:
        source: its layout and folder.
        vocabulary: the classes.
        roots: name of a root -> folder.
        files: the audio files, relative to `source.audio`.

    Returns:
        One record a file, in the order of the layout's reader.

    Raises:
        InputError: what the layout tells is not as expected, or a label stands for no class.
    """
    found = READERS[source.layout](locate(source.audio, roots), files)
    told = found if isinstance(found, Told) else Told(found, {}, [])
    entries = told.entries
    counts = Counter(clean(name) for entry in entries for name in _names(entry))
    translation = translate_labels(counts, source.class_names, vocabulary, source.audio, unknown=source.unknown_labels)
    meaning = cache(lambda *names: translation.labels((clean(name), 1.0) for name in names))  # held in memory once
    records = []
    emptied = 0
    for entry in entries:
        labels, events = None, None
        if entry.events is not None:
            stretches = [(start_s, end_s, meaning(name)) for start_s, end_s, name in entry.events]
            # The file was listened to, even if none of its classes was heard.
            events = tuple(Event(start_s, end_s, names) for start_s, end_s, names in stretches if names)
        elif entry.labels is not None:
            labels = meaning(*entry.labels) if entry.labels else {}
            emptied += labels is None
        records.append(
            Record(entry.file, entry.where, labels, events, entry.fold, entry.recording, columns=entry.columns)
        )
    facts: dict[str, int | str] = {"layout": source.layout, **told.facts, **translation.facts}
    facts["files that hold no class"] = sum(record.labels == {} or record.events == () for record in records)
    if emptied:
        facts["files with dropped labels only, unlabelled"] = emptied
    return Reading(records, facts, told.warnings + translation.warnings)


def _names(entry: Entry) -> Sequence[str]:
    return entry.labels or () if entry.events is None else [name for _, _, name in entry.events]
