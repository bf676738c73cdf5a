"""Soft labels become binary targets by three rules."""

import numpy as np
import pytest

from tymbal.evaluate.targets import binarise

SOFT = np.array([[1.0, 0.6, 0.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("rule", "targets", "keep"),
    [
        ("any", [True, True, False], [True, True, True]),
        ("main", [True, False, False], [True, True, True]),
        ("main-ignore-sub", [True, False, False], [True, False, True]),
    ],
)
def test_rules(rule, targets, keep):
    found, kept = binarise(SOFT, rule)
    assert found[0].tolist() == targets
    assert kept[0].tolist() == keep


def test_unlabelled_clips_are_never_negatives():
    with pytest.raises(AssertionError, match="unlabelled"):
        binarise(np.array([[np.nan, np.nan]]), "any")
