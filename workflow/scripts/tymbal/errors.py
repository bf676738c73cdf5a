"""What ends a step with a sentence instead of a traceback: a user's mistake, a training that has no time left."""

from collections.abc import Sequence
from pathlib import Path

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


class OutOfTime(Exception):
    """A training stopped before its time limit with its rounds saved, so that the next attempt goes on after them.

    Args:
        name: what a round is called.
        done: rounds finished.
        rounds: how many there are.
        longest: seconds of the longest round of this attempt.
        left: seconds that were left.
        folder: where the rounds are saved.
    """

    def __init__(self, name: str, done: int, rounds: int, longest: float, left: float, folder: Path) -> None:
        super().__init__(
            f"stopped before the job's time limit; {name} {done} of {rounds} is finished and saved in {folder}. The "
            f"longest {name} took {longest / 60:.1f} min, and {max(left, 0) / 60:.1f} min were left. The next attempt "
            "goes on from there; when `retries` are used up, give the same command again. With a larger `runtime` "
            "in the profile fewer attempts are needed."
        )
