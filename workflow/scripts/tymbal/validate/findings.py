"""What a validation found, and how it is told on one screen."""

import unicodedata
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tymbal.errors import InputError, some

Level = Literal["error", "warning", "info"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")
LINES, COLUMNS = 24, 110  # one screen
MARGIN = 9  # columns of "WARNING  "


@dataclass(frozen=True)
class Finding:
    """One thing worth telling.

    Attributes:
        level: an `error` must be fixed before anything can run; a `warning` is allowed but may be a mistake; an
            `info` is a fact.
        area: what it is about, such as `data set esc10`.
        title: what was found, in one line.
        cases: where, one line each.
        remedy: what the user can do about it.
    """

    level: Level
    area: str
    title: str
    cases: tuple[str, ...] = ()
    remedy: str = ""

    @classmethod
    def of(cls, error: InputError, area: str) -> "Finding":
        """What would have stopped the workflow."""
        return cls("error", area, error.title, error.cases, error.remedy)


@dataclass(frozen=True)
class Report:
    """All findings of one validation, in the order in which they were made."""

    findings: tuple[Finding, ...]

    def of(self, level: Level) -> list[Finding]:
        """The findings of one level."""
        return [finding for finding in self.findings if finding.level == level]

    @property
    def ok(self) -> bool:
        """Whether nothing must be fixed."""
        return not self.of("error")

    def to_json(self) -> dict[str, Any]:
        """Plain builtins, for report.json."""
        return {
            "ok": self.ok,
            "counts": {level: len(self.of(level)) for level in LEVELS},
            "findings": [asdict(finding) for finding in self.findings],
        }

    def headline(self) -> str:
        """How many errors and warnings there are."""
        errors, warnings = (_count(len(self.of(level)), level) for level in LEVELS[:2])
        return f"{errors}, {warnings}" if not self.ok else f"nothing must be fixed, {warnings}"

    def summary(self, page: str) -> str:
        """At most one screen: errors before warnings before facts, as much of each as there is room for.

        Args:
            page: where everything is told.
        """
        room = LINES - 2  # for the headline and the last line
        urgent = [*self.of("error"), *self.of("warning")]
        lines: list[str] = []
        for most in (4, 3, 2, 1):  # lines of one finding
            lines = [line for finding in urgent for line in _lines(finding, most)]
            if len(lines) <= room:
                break
        told = len(lines)
        for most in (3, 2, 1):
            lines = lines[:told] + [line for finding in self.of("info") for line in _lines(finding, most)]
            if len(lines) <= room:
                break
        else:
            lines = [*lines[: room - 1], f"{'':{MARGIN}}... and {len(lines) - room + 1} more"]
        return "\n".join([f"Validation: {self.headline()}", *lines, f"Everything, with all cases: {page}"])


def wrap(text: str, columns: int, most: int) -> list[str]:
    """Lines of a terminal, cut if there are too many; Chinese and other wide characters fill two columns."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if _columns(longer) <= columns:
            lines[-1] = longer
        else:
            lines += _pieces(word, columns)
    lines = [line for line in lines if line]
    if len(lines) <= most:
        return lines
    last = _pieces(" ".join(lines[most - 1 :]), columns - 1)[0]
    return [*lines[: most - 1], last.rstrip() + "…"]


def _pieces(text: str, columns: int) -> list[str]:
    pieces = [""]
    for character in text:
        if _columns(pieces[-1] + character) > columns:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _lines(finding: Finding, most: int) -> list[str]:
    text = f"{finding.area}: {finding.title}"
    if finding.level != "info":
        text += f" ({some(finding.cases, 3, '; ')})" if finding.cases else ""
        text += f" -> {finding.remedy}" if finding.remedy else ""
    first, *rest = wrap(text, COLUMNS - MARGIN, most)
    mark = "" if finding.level == "info" else finding.level.upper()
    return [f"{mark:{MARGIN}}{first}", *(f"{'':{MARGIN}}{line}" for line in rest)]


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
