"""A few files predicted by name: the tables that are wanted, and nothing overwritten."""

import sys

import pandas as pd
import pytest

from small_prediction import CLASSES, LENGTH_S, recording, small_model
from tymbal.__main__ import main, parser


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Type a command in a folder with a model; gives the exit status."""
    small_model(tmp_path / "run")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def inner(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["tymbal", *arguments])
        return main()

    return inner


def test_files_are_predicted_and_bad_ones_told(run, tmp_path, caplog):
    recording(tmp_path / "work" / "野外 一.wav", 4 * LENGTH_S)
    recording(tmp_path / "disk" / "b.flac", 2.5 * LENGTH_S, rate=8000)
    (tmp_path / "work" / "empty.wav").touch()
    files = ("野外 一.wav", str(tmp_path / "disk/b.flac"), "empty.wav", "./野外 一.wav")
    assert run("predict", *files, "--model", "../run") == 0
    out = tmp_path / "work" / "predictions"
    assert {path.name for path in out.iterdir()} == {"scores.csv", "files.csv", "detections.csv", "raven", "audacity"}
    scores = pd.read_csv(out / "scores.csv")
    assert scores["file"].value_counts(sort=False).to_dict() == {"野外 一.wav": 4, str(tmp_path / "disk/b.flac"): 3}
    assert list(scores.columns[3:]) == [f"score:{name}" for name in CLASSES]
    detected = pd.read_csv(out / "detections.csv")
    assert len(detected) > 0
    assert len(list((out / "raven").rglob("*.txt"))) == detected["file"].nunique()
    assert "empty.wav: is empty: 0 bytes" in caplog.text
    assert run("predict", "野外 一.wav", "--model", "../run") == 1
    assert "predictions holds something already" in caplog.text


def test_mistakes_end_in_a_sentence(run, tmp_path, caplog):
    assert run("predict", "gone.wav", "--model", "../run") == 1
    assert "gone.wav: cannot be opened: No such file or directory" in caplog.text
    assert run("predict", "gone.wav", "--model", "nowhere") == 1
    assert "nowhere/model.safetensors" in caplog.text
    assert not (tmp_path / "work" / "predictions").exists()


def test_every_command_is_told_of(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    told = capsys.readouterr().out
    assert all(name in told for name in ("predict", "export", "classes"))
