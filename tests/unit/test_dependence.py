"""Co-occurrence and error correlation, against sums written out and against NumPy."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.evaluate.dependence import COLUMNS, dependence
from tymbal.evaluate.predictions import Predictions
from tymbal.evaluate.targets import binarise

RULES = ["any", "main", "main-ignore-sub"]


def clips(scores, labels) -> Predictions:
    n, c = np.shape(labels)
    names = [str(i) for i in range(n)]
    classes = [f"class {i}" for i in range(c)]
    return Predictions(names, names, [""] * n, classes, np.array(scores, float), np.array(labels, np.float32))


def random_clips(seed: int, n: int, c: int) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 0, 0.6, 1], (n, c))
    common = rng.random((n, 1))
    return clips((rng.random((n, c)) + common) / 2, labels)


@given(st.integers(0, 2**32), st.integers(20, 80), st.integers(2, 5), st.sampled_from(RULES))
@settings(deadline=None, max_examples=50)
def test_agrees_with_sums_written_out(seed, n, c, rule):
    made = random_clips(seed, n, c)
    targets, keep = binarise(made.labels, rule)
    found = dependence(made, rule)
    assert list(found.columns) == COLUMNS
    pairs = list(combinations(range(c), 2))
    assert found[["class_a", "class_b"]].to_numpy().tolist() == [[f"class {a}", f"class {b}"] for a, b in pairs]
    for (a, b), row in zip(pairs, found.itertuples(), strict=True):
        both = keep[:, a] & keep[:, b]
        t, p = targets[both], made.scores[both]
        assert row.n_both == (t[:, a] & t[:, b]).sum()
        assert row.expected_both == pytest.approx(t[:, a].sum() * t[:, b].sum() / both.sum())
        if all(0 < targets[keep[:, i], i].mean() < 1 for i in (a, b)):
            expected = np.corrcoef(p[:, a] - t[:, a], p[:, b] - t[:, b])[0, 1]
            assert row.error_correlation == pytest.approx(expected, abs=1e-9)
        else:
            assert np.isnan(row.error_correlation)


@given(st.integers(0, 2**32), st.sampled_from(RULES), st.floats(0, 1))
@settings(deadline=None, max_examples=30)
def test_what_has_no_correlation_is_empty(seed, rule, constant):
    """Of a class without positives, one without negatives, and one whose error is the same but for rounding."""
    made = random_clips(seed, 40, 6)
    made.labels[:2] = [[0], [1]]  # the others have both, in cells that count under every rule
    made.labels[:, 0], made.labels[:, 1] = 0, 1
    made.labels[:, 2] = made.labels[:, 2] > 0
    made.scores[:, 2] = (made.labels[:, 2] + constant) / 2 + made.labels[:, 2] / 2
    found = dependence(made, rule).set_index(["class_a", "class_b"])
    assert found.loc[("class 0", slice(None)), "n_both"].eq(0).all()
    assert found.loc[("class 0", slice(None)), "expected_both"].eq(0).all()
    empty = found["error_correlation"].isna()
    expected = [min(a[-1], b[-1]) < "3" for a, b in found.index]
    assert empty.tolist() == expected


def test_errors_made_together_and_against_each_other():
    rng = np.random.default_rng(0)
    labels, error = rng.integers(0, 2, (200, 3)), rng.uniform(-0.5, 0.5, 200)
    scores = labels + np.stack([error, 2 * error, -error], axis=1)
    assert dependence(clips(scores, labels), "any")["error_correlation"].tolist() == pytest.approx([1, -1, -1])


def test_small_sets():
    assert dependence(clips(np.zeros((3, 1)), np.zeros((3, 1))), "any").empty
    single = dependence(clips([[0.2, 0.9]], [[1, 0]]), "any")
    assert single["expected_both"].tolist() == [0]
    assert single["error_correlation"].isna().all()
    # No clip in which cells of both classes count.
    apart = dependence(clips([[0.2, 0.9]] * 2, [[0.6, 0], [0, 0.6]]), "main-ignore-sub")
    assert apart["n_both"].tolist() == [0]
    assert apart["expected_both"].isna().all()
