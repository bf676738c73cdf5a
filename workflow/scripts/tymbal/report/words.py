"""Amounts and lists in sentences."""

from collections.abc import Iterable, Sequence

import pandas as pd

from tymbal.folds import ALL, PARTS
from tymbal.report.numbers import span


def count(n: float, noun: str) -> str:
    """Such as `1 clip` or `1,900 clips`."""
    return f"{n:,.0f} {noun}" if n == 1 else f"{n:,.0f} {noun}s"


def listed(parts: Iterable[str]) -> str:
    """Such as `a, b and c`."""
    *before, last = parts
    return f"{', '.join(before)} and {last}" if before else last


def number(value: float) -> str:
    """As short as it can be written: `0.001`, `5e-7`."""
    mantissa, e, exponent = f"{value:g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def share(balance: pd.DataFrame, part: str, among: Sequence[str] = PARTS) -> str:
    """How many of the clips of some parts a part of the split really has, such as `33 %` or, over folds, `10–11 %`.

    Args:
        balance: rows of one data set in the summary table.
        part: whose share is told.
        among: parts that are the whole.
    """
    sizes = balance[balance["class"] == ALL].pivot_table("n_clips", "fold", "part")
    return span(100 * sizes[part] / sizes[list(among)].sum(axis=1)) + " %"
