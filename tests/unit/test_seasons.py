"""Where predictions go, what tells which recordings there are, and when a folder of results is that of others."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import REPO, merged_config
from tymbal.config import Config, load
from tymbal.errors import InputError
from tymbal.seasons import Season, _slug, data_beside

RAW = merged_config(REPO / "config/config.yaml")
RUN = "results/field/cnn-small/fold2/seed0"


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    """A working directory with a model and recordings."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    make_model(Path(RUN))
    Path("2024 春\u3000一").mkdir()
    return tmp_path / "work"


def make_model(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "model.json", "thresholds.json", "calibration.json"):
        (folder / name).write_text(name)


def config(recordings="2024 春\u3000一", model=RUN, **predict) -> Config:
    return load({**RAW, "recordings": str(recordings), "model": str(model), "predict": predict})


def season(*arguments, **predict) -> Season:
    found = Season.of(config(*arguments, **predict))
    assert found is not None
    return found


def record(found: Season) -> None:
    found.folder.mkdir(parents=True)
    (found.folder / "season.json").write_text(json.dumps(found.told()))


def test_nothing_is_predicted_unless_it_is_asked_for():
    assert Season.of(load(RAW)) is None


def test_results_are_told_apart_by_recordings_and_model():
    assert season().folder == Path("results/predictions/2024-春-一/field-cnn-small-fold2-seed0")
    assert season(name="spring").folder.parent.name == "spring"
    shutil.copytree(RUN, "My Model")
    assert season(model="My Model").folder.name == "my-model"
    assert data_beside(Path("My Model")) is None
    assert data_beside(Path(RUN)) == Path("results/field").absolute()


@pytest.mark.parametrize("written", ["./2024 春\u3000一/", "2024 春\u3000一/../2024 春\u3000一"])
def test_a_folder_written_otherwise_is_the_same(written):
    assert season(written).folder == season().folder
    record(season())
    season(written)


@given(st.text())
def test_names_are_safe_in_paths(name):
    slug = _slug(name)
    assert not set(slug) & set("/\\{}.,:*?'\"$ \u3000\u00a0\n")
    assert _slug(slug) == slug


@pytest.mark.parametrize("name", ["recordings.txt", "Spring.CSV"])
def test_lists_are_named_without_their_ending_and_tell_the_folder(name):
    Path("lists").mkdir()
    path = Path("lists", name)
    path.write_text("a.wav\n")
    found = season(path)
    assert found.name == path.stem.lower()
    assert (found.root, found.sources) == (Path("lists"), [str(path)])


def test_all_folders_tell_of_new_recordings():
    for inner in ("b/c", "a", ".hidden/d"):
        Path("2024 春\u3000一", inner).mkdir(parents=True)
    Path("disk/e").mkdir(parents=True)
    Path("2024 春\u3000一", "link").symlink_to(Path("disk").absolute())
    Path("disk/e/back").symlink_to(Path("2024 春\u3000一").absolute())
    found = season()
    expected = ("", "a", "b", "b/c", "link", "link/e")
    assert found.sources == [str(Path("2024 春\u3000一", inner)) for inner in expected]
    assert found.root == Path("2024 春\u3000一")


def test_results_of_others_are_refused_with_the_remedy(tmp_path):
    record(season())
    season()
    other = tmp_path / "2024 春\u3000一"
    other.mkdir()
    with pytest.raises(
        InputError, match=r"results of other recordings: .*predict=\{name: NAME\}.*delete .*season\.json"
    ):
        season(other)
    season(other, name="other")
    shutil.copytree("results/field", tmp_path / "archive" / "field")
    with pytest.raises(InputError, match="results of other model"):
        season(model=tmp_path / "archive/field/cnn-small/fold2/seed0")


def test_a_working_directory_may_move_with_all_that_is_in_it(work, monkeypatch):
    record(season())
    work.rename(work.with_name("moved"))
    monkeypatch.chdir(work.with_name("moved"))
    season()


def test_contents_are_digests_whatever_the_place_and_time(tmp_path):
    before = season().contents(season().model_files)
    shutil.copytree("results/field", tmp_path / "archive" / "field")
    moved = season(model=tmp_path / "archive/field/cnn-small/fold2/seed0", name="moved")
    os.utime(moved.model_files[0])
    assert moved.contents(moved.model_files) == before
    moved.model_files[0].write_text("trained again")
    after = moved.contents(moved.model_files)
    assert (after[0] != before[0], after[1]) == (True, before[1])


@pytest.mark.parametrize(
    ("recordings", "model", "why"),
    [
        ("nowhere", RUN, "recordings: nowhere is not there; expected a folder"),
        (f"{RUN}/model.json", RUN, "is none of these.*python -m tymbal predict"),
        (
            "2024 春\u3000一",
            "results/field",
            "results/field/model.safetensors.* is not there; expected the folder of a run",
        ),
    ],
)
def test_what_is_not_there_is_told(recordings, model, why):
    with pytest.raises(InputError, match=why):
        season(recordings, model)


def test_thresholds_of_ones_own_are_enough():
    Path(RUN, "thresholds.json").rename("own.json")
    with pytest.raises(InputError, match=r"thresholds\.json is not there"):
        season()
    assert season(thresholds="own.json").decisions[0] == Path("own.json")


def test_recordings_may_be_put_away_after_they_were_listed():
    found = season()
    found.folder.mkdir(parents=True)
    (found.folder / "recordings.csv").touch()
    Path("2024 春\u3000一").rmdir()
    assert season().sources == ["2024 春\u3000一"]
