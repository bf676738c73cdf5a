"""The one exception for a user's mistake: what is wrong, where, what was expected, what to do."""

from collections.abc import Sequence

SHOWN = 50  # problems spelled out in one message; the rest are counted


def some(cases: Sequence[str], n: int = 10, between: str = ", ") -> str:
    """The first few cases in one line; dots say that there are more."""
    return between.join(cases[:n]) + (f"{between}..." if len(cases) > n else "")


class InputError(Exception):
    """Something the user gave is wrong (a file, a row, a setting). Our own mistakes are plain asserts.

    Attributes:
        title: what is wrong, in a line or two; the whole message unless it is a listing.
        cases: of a listing, all of them.
        remedy: of a listing.
    """

    def __init__(self, message: str, title: str = "", cases: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message)
        self.title, self.cases, self.remedy = title or message, tuple(cases), remedy

    @classmethod
    def listing(cls, what: str, problems: Sequence[str], remedy: str) -> "InputError":
        """All problems of one kind in one message.

        Args:
            what: the headline, naming the file or step concerned.
            problems: one line each: where, what was found, what was expected.
            remedy: what the user can do about it.
        """
        lines = [f"{what}: {len(problems)} problem{'s' if len(problems) != 1 else ''}"]
        lines += [f"  - {problem}" for problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            lines.append(f"  ... and {len(problems) - SHOWN} more of the same kind")
        return cls("\n".join([*lines, f"What to do: {remedy}"]), what, problems, remedy)
