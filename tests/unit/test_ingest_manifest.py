"""The manifest as a file."""

from pathlib import Path

import numpy as np
import pandas as pd

from tymbal.ingest.manifest import class_names, labels, read_manifest, write_manifest


def manifest() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip_id": ["001", "NA@6.000"],
            "root": ["data", "data"],
            "path": ["a/001.wav", "a/NA, b.wav"],
            "start_s": [0.0, 6.0],
            "duration_s": [1 / 3, 5.0],
            "recording": ["1", "2"],
            "site": ["NA", ""],
            "recorded_at": ["2024-01-05T05:30:00", ""],
            "segment": ["01", ""],
            "fold": ["1", ""],
            "sample_rate": [16000, 44100],
            "channels": [1, 2],
            "sha256": ["0" * 64, "1" * 64],
            "speaker": ["007", "nan"],
            "label:蟬": [0.6, np.nan],
            "label:Bird, small": [0.0, np.nan],
        }
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    write_manifest(manifest(), path)
    pd.testing.assert_frame_equal(read_manifest(path), manifest(), check_exact=True)
    assert path.read_bytes().splitlines()[2].endswith(b",,")  # unlabelled is empty, not 0


def test_a_manifest_without_any_label_is_read_as_unlabelled(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    write_manifest(manifest().iloc[1:], path)
    assert np.isnan(labels(read_manifest(path))).all()


def test_a_manifest_without_classes(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    write_manifest(manifest().drop(columns=["label:蟬", "label:Bird, small"]), path)
    assert class_names(read_manifest(path)) == []
    assert labels(read_manifest(path)).shape == (2, 0)


def test_classes_and_soft_labels() -> None:
    assert class_names(manifest()) == ["蟬", "Bird, small"]
    soft = labels(manifest())
    assert soft.dtype == np.float32
    np.testing.assert_array_equal(soft, np.float32([[0.6, 0], [np.nan, np.nan]]))
