"""How far a season is from the training data, in words."""

from typing import Any

import numpy as np
import pandas as pd

from tymbal.evaluate.tables import rows_of
from tymbal.predict.drift import DISTANCE, LEVEL, LIKE, SCORE, SOMEWHAT, UNKNOWN, UNLIKE
from tymbal.report.numbers import signed
from tymbal.report.words import listed

WORDS = {
    LIKE: "looks like the training data",
    SOMEWHAT: "differs somewhat from the training data",
    UNLIKE: "does not look like the training data",
    UNKNOWN: "cannot be compared",
}
MOST_NAMED = 3  # classes


def site_rows(drift: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a site, the most unlike first: what to think of it.

    Args:
        drift: as `tymbal.predict.drift.compare_with_training` writes it.
    """
    rows = []
    for site, mine in drift.groupby("site", sort=True):
        distance, level = (rows_of(mine, {"measure": name}).iloc[0] for name in (DISTANCE, LEVEL))
        rows.append(
            {
                "site": site,
                "verdict": distance["verdict"],
                "words": WORDS[distance["verdict"]],
                "times": distance["value"] / distance["usual"] if distance["usual"] > 0 else np.nan,
                "level": _level(level),
                "level_db": level["value"],
                "classes": _classes(rows_of(mine, {"measure": SCORE})),
                "n": int(distance["n"]),
            }
        )
    return sorted(rows, key=lambda row: -np.nan_to_num(row["times"]))


def told_apart(drift: pd.DataFrame) -> dict[str, list[str]]:
    """Verdict -> its sites, sorted."""
    sites = rows_of(drift, {"measure": DISTANCE})
    return {verdict: sorted(sites.loc[sites["verdict"] == verdict, "site"]) for verdict in WORDS}


def class_rows(shares: pd.DataFrame) -> pd.DataFrame:
    """A row a class, over all sites: `class, share, validation_share, training_share, n_detected`, most frequent first.

    Args:
        shares: as `tymbal.predict.drift.compare_with_training` writes them.
    """
    by_class = shares.groupby("class", sort=False)
    counts = by_class[["n_detected", "n_windows"]].sum()
    usual = by_class[["validation_share", "training_share", "threshold"]].first()
    table = usual.assign(share=counts["n_detected"] / counts["n_windows"], n_detected=counts["n_detected"])
    return table.sort_values("share", ascending=False, kind="stable").reset_index()


def _level(row: "pd.Series[Any]") -> str:
    """How loud a site is."""
    if row["verdict"] == UNKNOWN:
        return ""
    if row["verdict"] == LIKE:
        return "as usual"
    how = "louder" if row["value"] > 0 else "quieter"
    low, high = signed(row["usual_low"], 0), signed(row["usual_high"], 0)
    return f"{how} than usual ({low} to {high})"


def _classes(scores: pd.DataFrame) -> str:
    """Classes whose scores differ most, of those that differ more than they usually do."""
    differing = scores[scores["verdict"].isin([SOMEWHAT, UNLIKE])].sort_values("value", ascending=False)
    names = differing["class"].tolist()
    if not names:
        return ""
    more = len(names) - MOST_NAMED
    return listed([*names[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])])
