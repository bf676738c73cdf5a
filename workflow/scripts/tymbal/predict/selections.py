"""Detections as text files that open beside a recording: Raven selection tables and Audacity label tracks."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tymbal.files import fingerprint
from tymbal.ingest.raven import BEGIN, END
from tymbal.predict.merge import Detections

RAVEN, AUDACITY = ".selections.txt", ".txt"  # what follows the recording's name
HEADER = ("Selection", "View", "Channel", BEGIN, END, "Low Freq (Hz)", "High Freq (Hz)", "Begin File", "Class", "Score")
BLANKS = dict.fromkeys(map(ord, "\t\r\n"), " ")
LONGEST = 255  # bytes of a name, on all usual file systems


def raven_table(file: str, found: Detections, classes: Sequence[str], high_hz: float, channel: int) -> str:
    """A Raven selection table: tab-separated, a row a detection, its box as high as the model hears.

    Args:
        file: the recording; the table holds its bare name, as Raven's own do.
        found: its detections.
        classes: C names.
        high_hz: upper edge of all boxes.
        channel: in which Raven is to draw them, counted from 1.
    """
    name = _cell(PurePosixPath(file).name)
    columns = zip(found.label.tolist(), found.start_s.tolist(), found.end_s.tolist(), found.score, strict=True)
    lines = [
        f"{i}\tSpectrogram 1\t{channel}\t{start_s}\t{end_s}\t0.0\t{high_hz}\t{name}\t"
        f"{_cell(classes[label])}\t{score!s}\n"
        for i, (label, start_s, end_s, score) in enumerate(columns, 1)
    ]
    return "".join(["\t".join(HEADER) + "\n", *lines])


def label_track(found: Detections, classes: Sequence[str]) -> str:
    """An Audacity label track: start, end and class of a detection a line.

    Args:
        found: the detections of a recording.
        classes: C names.
    """
    columns = zip(found.label.tolist(), found.start_s.tolist(), found.end_s.tolist(), strict=True)
    return "".join(f"{start_s}\t{end_s}\t{_cell(classes[label])}\n" for label, start_s, end_s in columns)


def write_beside(folder: Path, file: str, suffix: str, text: str) -> None:
    """Write the text file of a recording, in folders named as the recording's own; never over another one.

    Args:
        folder: where those of all recordings go.
        file: the recording, as a relative path or an absolute one, which is taken as relative to the folder.
        suffix: what follows the recording's name in that of the text file.
        text: of the file.
    """
    *folders, name = PurePosixPath(file.lstrip("/")).parts
    if len((name + suffix).encode()) > LONGEST:
        end = f"~{fingerprint(file)}{suffix}"
        name, suffix = name.encode()[: LONGEST - len(end)].decode(errors="ignore"), end
    path = folder.joinpath(*folders, name + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="\n") as stream:
        stream.write(text)


def _cell(text: str) -> str:
    """Neither format can hold a tab or a line end within a cell."""
    return text.translate(BLANKS)
