"""Soft labels turned into what is right and wrong: three rules, named in every table of results."""

import numpy as np

from tymbal.config import TargetRule

# What a rule counts, in words for tables and captions.
MEANING: dict[TargetRule, str] = {
    "any": "positive with any tag, main or sub",
    "main": "positive with a main tag; a sub tag counts as negative",
    "main-ignore-sub": "positive with a main tag; clips with a sub tag of a class are left out for that class",
}

RANKING = ("mAP", "AUC")  # metrics of the order of scores


def ranked(soft: np.ndarray, rule: TargetRule) -> np.ndarray:
    """Classes [C] bool of which some clips are positive and some negative, so that scores have an order to get right.

    Without negatives the average precision is 1, whatever the scores.
    """
    targets, keep = binarise(soft, rule)
    return targets.any(axis=0) & (~targets & keep).any(axis=0)


def binarise(soft: np.ndarray, rule: TargetRule) -> tuple[np.ndarray, np.ndarray]:
    """Binary targets and the cells that count.

    Args:
        soft: [N, C] label weights in [0, 1]: 1 a main tag, between 0 and 1 a sub tag, 0 absent.
        rule: which weights are positive, see `MEANING`.

    Returns:
        Targets [N, C] bool, and keep [N, C] bool: False where a cell is left out, which no target is.
    """
    assert np.isfinite(soft).all(), "unlabelled clips cannot be evaluated"
    main = soft == 1
    if rule == "any":
        return soft > 0, np.ones(soft.shape, dtype=bool)
    if rule == "main":
        return main, np.ones(soft.shape, dtype=bool)
    return main, main | (soft == 0)
