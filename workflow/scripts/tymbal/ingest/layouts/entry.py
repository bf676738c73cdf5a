"""What the reader of a public data set's layout gives for each file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as the data set describes it.

    Attributes:
        file: relative to the folder of the data set, with extension.
        where: place that tells it, such as `dev.csv row 12`, for messages.
        labels: names of the whole file, as the data set writes them, each of weight 1.0; an empty tuple is a file that
            was listened to and holds none. None if `events` tell them.
        events: stretches `(start_s, end_s, name)`, seconds from the start of the file, if the data set tells these.
        fold: the data set's own fold (a whole number from 1) or part (train, val, test); empty if it has none.
        recording: what the file was cut from; empty if its name has to tell.
        columns: what else the layout tells, by the names that `LAYOUTS` has for it.
    """

    file: str
    where: str
    labels: tuple[str, ...] | None
    events: tuple[tuple[float, float, str], ...] | None = None
    fold: str = ""
    recording: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


class Told(NamedTuple):
    """What a reader gives that has more to tell than entries.

    Attributes:
        entries: as of other readers.
        facts: as of a `Reading`.
        warnings: as of a `Reading`.
    """

    entries: list[Entry]
    facts: dict[str, int | str]
    warnings: list[str]
