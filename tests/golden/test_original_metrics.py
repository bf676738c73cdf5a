"""Average precision, AUC, d' and accuracy equal those of the original code."""

import numpy as np
import pytest

from helpers import golden_file, golden_inputs, needs_shared
from tymbal.evaluate.metrics import evaluate

pytestmark = needs_shared


@pytest.mark.parametrize(("kind", "n", "n_classes"), [("multi", 400, 9), ("single", 300, 7)])
def test_equal_to_the_original(kind, n, n_classes):
    single = kind == "single"
    expected = golden_file("ssast", "metrics.npz")
    scores, targets = golden_inputs().scores_targets(n, n_classes, 0, single)
    names = [f"c{c}" for c in range(n_classes)]
    rows = evaluate(scores, targets, names, "any", {}, single)

    def per_class(metric):
        return [row.value for row in rows if row.metric == metric and row.class_name]

    overall = {row.metric: row.value for row in rows if not row.class_name}
    close = {"rtol": 0, "atol": 1e-9}
    np.testing.assert_allclose(per_class("AP"), expected[f"{kind}_ap"], **close)
    np.testing.assert_allclose(per_class("AUC"), expected[f"{kind}_auc"], **close)
    np.testing.assert_allclose(per_class("dprime"), expected[f"{kind}_dprime_class"], **close)
    np.testing.assert_allclose(overall["mAP_macro"], expected[f"{kind}_map"], **close)
    np.testing.assert_allclose(overall["AUC_macro"], expected[f"{kind}_mauc"], **close)
    np.testing.assert_allclose(overall["dprime_of_mean_AUC"], expected[f"{kind}_dprime_of_mean"], **close)
    assert [row.n_pos for row in rows if row.metric == "AP"] == expected[f"{kind}_pos"].tolist()
    if single:
        np.testing.assert_allclose(overall["accuracy"], expected["single_acc"], **close)
    else:
        assert "accuracy" not in overall
