"""Everything that can be wrong with the clips of a data set: kinds, remedies, and what is done with files that are bad.

A bad file stops the workflow, or goes to the quarantine if the settings say so: it is never replaced, and never left
out unseen. All other problems stop it in any case.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tymbal.config.data import Clips
from tymbal.errors import InputError

# Kinds of bad files, in the order in which they are told.
MISSING = "missing files"
UNREADABLE = "unreadable files"
TRUNCATED = "truncated files"
TOO_SHORT = "files shorter than one frame"
NOT_FINITE = "files with values that are not finite"
COPIES = "copies of another file"

REMEDIES = {
    MISSING: "copy them into the audio folder, tell in `path_map` where it is, or take them out of the source",
    UNREADABLE: "copy them again from where they come from, or remove them and their rows",
    TRUNCATED: "copy them again from where they come from, or remove them and their rows",
    TOO_SHORT: "remove them and their rows: what is left over when a recording is cut is no clip",
    NOT_FINITE: "make them again with samples or features that are finite, or remove them and their rows",
    COPIES: "keep one of each; a clip with several labels is one row (or one file in a folder named 'A,B')",
}
KINDS = tuple(REMEDIES)
TOO_MANY = "more bad files than `max_bad_share` allows"


class BadFile(NamedTuple):
    """A file that cannot be used: a row of the quarantine.

    Attributes:
        file: relative to the data set's folder; as the source names it if it is missing.
        where: place in the source.
        kind: one of the kinds above.
        reason: what was found, for a file that is there.
    """

    file: str
    where: str
    kind: str
    reason: str


class Problem(NamedTuple):
    """What stops the workflow: all cases of one kind."""

    kind: str
    cases: Sequence[str]
    remedy: str


def judge(bad: Sequence[BadFile], n_records: int, dataset: Clips) -> list[Problem]:
    """What the bad files mean under the data set's settings: nothing if they may go to the quarantine.

    Args:
        bad: all that are known so far.
        n_records: how many files the source tells of.
        dataset: its settings.
    """
    if not bad:
        return []
    if dataset.on_bad_clip == "stop":
        leave = "; `on_bad_clip: quarantine` goes on without up to `max_bad_share` of the files"
        return [
            Problem(kind, [_told(file) for file in bad if file.kind == kind], remedy + leave)
            for kind, remedy in REMEDIES.items()
            if any(file.kind == kind for file in bad)
        ]
    share = len(bad) / n_records
    if share <= dataset.max_bad_share:
        return []
    found = f"{len(bad)} of {n_records} ({100 * share:.3g} %), expected at most {100 * dataset.max_bad_share:.3g} %"
    cases = [f"{file.kind}: {_told(file)}" for file in sorted(bad, key=lambda file: KINDS.index(file.kind))]
    return [Problem(f"{TOO_MANY}: {found}", cases, "put them right, or raise `max_bad_share` if they may be left out")]


def require_none(place: str, problems: Sequence[Problem]) -> None:
    """Stop if there are problems.

    Raises:
        InputError: every kind with its count, its cases and its remedy.
    """
    if problems:
        told = [InputError.listing(f"{place}: {problem.kind}", problem.cases, problem.remedy) for problem in problems]
        raise InputError("\n".join(map(str, told)))


def _told(file: BadFile) -> str:
    return f"{file.file} ({file.where})" + (f": {file.reason}" if file.reason else "")
