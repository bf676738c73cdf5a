"""Bootstrap over groups of clips.

Clips of one recording, or of one day at a site, sound alike, so it is these groups that are drawn, with all their clips
(cluster bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). A draw is told by
how often it has each group, and a clip weighs in a metric as often as its group was drawn.
"""

from typing import NamedTuple

import numpy as np

TAIL = 0.025  # of the draws, at either end: an interval of 95 %
FEWEST = 5  # groups: samples of fewer are too alike to tell an interval, those of one are all the same


class Draws(NamedTuple):
    """Samples of groups of clips.

    Args:
        group: number of each clip's group, [N].
        counts: how often each group is in a sample, [1 + D, G]; the first is the sample as it is, all ones.
    """

    group: np.ndarray
    counts: np.ndarray


def draw_groups(n_groups: int, n_draws: int, seed: int) -> np.ndarray:
    """How often each group is drawn.

    Args:
        n_groups: G.
        n_draws: D.
        seed: of the draws.

    Returns:
        Counts [1 + D, G] int32: first the sample as it is, each group once; then D draws of G groups with replacement.
    """
    rng = np.random.default_rng(seed)
    counts = np.ones((1 + n_draws, n_groups), dtype=np.int32)
    for draw in counts[1:]:
        draw[:] = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
    return counts


def undrawn(n_clips: int) -> Draws:
    """The clips as they are, without a draw."""
    return Draws(np.zeros(n_clips, dtype=np.int64), np.ones((1, 1), dtype=np.int32))


def draws_of(draws: Draws, clips: np.ndarray) -> Draws:
    """The same samples of some clips: as many numbers as these have groups.

    Args:
        draws: of N clips.
        clips: positions of n of them.
    """
    known, group = np.unique(draws.group[clips], return_inverse=True)
    return Draws(group, draws.counts[:, known])


def interval(drawn: np.ndarray, n_groups: int) -> tuple[float | None, float | None, int]:
    """The 95 % percentile interval.

    Its ends are draws, not numbers between two of them, so that the interval of what rises with a figure, such as the
    d' of an AUC, is that of the figure.

    Args:
        drawn: the value and then its draws, [1 + D]; NaN where undefined.
        n_groups: of which samples were drawn, over all folds.

    Returns:
        Low, high and the number of draws in which the figure is defined; None, None and 0 if there is none, or fewer
        than FEWEST groups. An end that is infinite is None.
    """
    if n_groups < FEWEST:
        return None, None, 0
    defined = np.sort(drawn[1:][~np.isnan(drawn[1:])])
    if not len(defined):
        return None, None, 0
    outside = int(TAIL * (len(defined) - 1))
    low, high = (float(end) if np.isfinite(end) else None for end in (defined[outside], defined[-1 - outside]))
    return low, high, len(defined)
