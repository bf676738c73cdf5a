"""Tables of the test clips of all runs together: what a cell that is left out has no part in."""

import numpy as np

from tymbal.evaluate.calibration import Calibration, write_calibration
from tymbal.evaluate.draws import Sample
from tymbal.evaluate.pooled import pooled_tables
from tymbal.evaluate.predictions import Predictions, write_predictions
from tymbal.runs import Run


def confusion(folder, scores, labels, rule, single_label):
    """(true class, predicted class) -> clips and their share."""
    n, names = len(scores), [f"c{i}" for i in range(len(scores))]
    clips = Predictions(names, names, [""] * n, ["a", "b"], np.array(scores, np.float32), np.array(labels, np.float32))
    write_predictions(clips, folder / "predictions.csv")
    write_calibration(folder / "calibration.json", Calibration("temperature", "bce", 1.0, None, None, n, 0, 0, 0, 0))
    run = (Run("field", "m", 1, 0), folder, Sample(names, names, "recording", 5))
    table = pooled_tables([run], rule, 0.5, single_label)["confusion"]
    return {(row.true_class, row.predicted_class): (row.n, row.share) for row in table.itertuples()}


def test_cells_that_are_left_out_are_not_predicted(tmp_path):
    """Of three clips of a, two have a sub tag of b; the third has none, and b is detected in all."""
    scores, labels = [[0.9, 0.9], [0.9, 0.9], [0.2, 0.9], [0.1, 0.3]], [[1, 0.6], [1, 0.6], [1, 0], [0, 1]]
    found = confusion(tmp_path, scores, labels, "main-ignore-sub", single_label=False)
    assert found == {("a", "a"): (2, 2 / 3), ("a", "b"): (1, 1.0), ("b", "a"): (0, 0.0), ("b", "b"): (0, 0.0)}
    found = confusion(tmp_path, scores, labels, "main", single_label=False)
    assert found["a", "b"] == (3, 1.0)


def test_a_clip_whose_class_is_left_out_is_in_no_row_as_in_accuracy(tmp_path):
    scores, labels = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], [[1, 0], [0.6, 0], [0, 1]]
    found = confusion(tmp_path, scores, labels, "main-ignore-sub", single_label=True)
    assert found == {("a", "a"): (1, 1.0), ("a", "b"): (0, 0.0), ("b", "a"): (1, 1.0), ("b", "b"): (0, 0.0)}
    assert confusion(tmp_path, scores, labels, "any", single_label=True)["a", "b"] == (1, 0.5)
