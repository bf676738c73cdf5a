"""Public data sets by their layouts: what configuration knows of them, and what their readers' words become."""

import re
from pathlib import Path
from typing import Any

import pytest

from helpers import REPO, merged_config
from tymbal.config import data, load
from tymbal.config.data import MANIFEST, NAMED, RESERVED, Dataset, PublishedSource
from tymbal.config.layouts import LAYOUTS, Layout
from tymbal.config.models import Model
from tymbal.config.released import RELEASED, local_path
from tymbal.errors import InputError
from tymbal.ingest import published
from tymbal.ingest.layouts.entry import Entry
from tymbal.ingest.records import Event, Reading, Record
from tymbal.ingest.vocabulary import Vocabulary
from tymbal.plan import Plan

PLAIN = Layout()  # one that tells classes alone


@pytest.fixture
def set_of(monkeypatch):
    """Registers a layout `birds` with what its reader is to give."""

    def register(entries: list[Entry] | published.Told, layout: Layout = PLAIN) -> None:
        monkeypatch.setitem(LAYOUTS, "birds", layout)
        monkeypatch.setitem(published.READERS, "birds", lambda folder, files: entries)

    return register


def read(**settings: Any) -> Reading:
    source = PublishedSource(format="published", layout="birds", audio="birds", **settings)
    return published.read(source, Vocabulary(("Owl", "Frog")), {"data": Path()}, [])


def dataset(**settings: Any) -> Dataset:
    given = {
        "source": {"format": "published", "layout": "birds", "audio": "nas:birds"},
        "task": "multi-label",
        "classes": ["Owl", "Frog"],
        "split": {"scheme": "holdout"},
    }
    return Dataset.model_validate(given | settings)


def test_each_layout_has_a_reader():
    assert set(LAYOUTS) == set(published.READERS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_columns_of_layouts_can_be_columns_of_a_manifest(name):
    assert not {*NAMED, *RESERVED, *MANIFEST}.intersection(LAYOUTS[name].columns)


# --- what readers' words become ---------------------------------------------------------------------------


def test_labels_become_classes_and_a_file_without_any_is_a_negative(set_of):
    told = [
        Entry("a.wav", "t row 1", ("owl", "Frog"), fold="train", recording="r", columns={"speaker": "x"}),
        Entry("b.wav", "t row 2", (), fold="test"),
    ]
    set_of(told)
    found = read(class_names={"owl": "Owl"})
    assert found.records == [
        Record("a.wav", "t row 1", {"Owl": 1.0, "Frog": 1.0}, fold="train", recording="r", columns={"speaker": "x"}),
        Record("b.wav", "t row 2", {}, fold="test"),
    ]
    assert found.facts == {"layout": "birds", "files that hold no class": 1}


def test_unknown_labels_are_refused_or_dropped_with_a_count(set_of):
    set_of([Entry("a.wav", "t", ("Owl", "Cat")), Entry("b.wav", "t", ("Cat",)), Entry("c.wav", "t", ("Frog",))])
    with pytest.raises(InputError, match="'Cat': 2 times"):
        read()
    found = read(unknown_labels="drop")
    # What a file with dropped labels alone holds is not known: it is unlabelled, not a negative.
    assert [record.labels for record in found.records] == [{"Owl": 1.0}, None, {"Frog": 1.0}]
    assert found.facts["files with dropped labels only, unlabelled"] == 1


def test_events_keep_their_stretches_and_a_file_without_any_was_listened_to(set_of):
    set_of([Entry("a.wav", "t", None, ((0.5, 2.0, "Owl"),)), Entry("b.wav", "t", None, ())])
    found = read()
    assert [record.events for record in found.records] == [(Event(0.5, 2.0, {"Owl": 1.0}),), ()]
    assert found.facts["files that hold no class"] == 1


def test_what_a_reader_tells_beside_entries_is_told(set_of):
    set_of(published.Told([Entry("a.wav", "t", ("Owl", "Frog"))], {"clips that are not there": 3}, ["three are lost"]))
    found = read()
    assert found.facts["clips that are not there"] == 3
    assert "three are lost" in found.warnings


# --- what configuration knows -----------------------------------------------------------------------------


def test_tables_and_columns_of_a_layout_are_the_data_sets(set_of):
    set_of([], Layout(("labels/a.csv",), ("speaker",), "given"))
    settings = dataset(split={"scheme": "given", "group": "speaker"})
    assert settings.data_paths == ("nas:birds", "nas:birds/labels/a.csv")
    assert settings.extra_columns == ("speaker",)


@pytest.mark.parametrize(
    ("layout", "settings", "message"),
    [
        (Layout(), {"split": {"scheme": "given"}}, "a layout that has parts"),
        (Layout(folds="official"), {"split": {"scheme": "given"}}, "a layout that has parts"),
        (Layout(folds="given"), {"split": {"scheme": "official", "n_folds": 2}}, "a layout that has them"),
        (Layout(events=True), {}, "give `windows` with `labels: events`"),
        (Layout(), {"windows": {"length_s": 1, "labels": "events"}}, "hold for whole files"),
        (Layout(), {"split": {"scheme": "holdout", "group": "speaker"}}, "is not one of"),
    ],
)
def test_settings_that_contradict_a_layout_are_refused(set_of, layout, settings, message):
    set_of([], layout)
    with pytest.raises(ValueError, match=message):
        dataset(**settings)


def test_an_unknown_layout_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"expected one of .*fsd50k"):
        dataset(source={"format": "published", "layout": "fsd51k", "audio": "x"})


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        ({"url": "ftp://example.org/a.zip"}, "should match pattern"),
        ({"sha256": "0" * 64, "md5": "0" * 32}, "keep sha256"),
        ({"sha256": "abc"}, "should match pattern"),
        ({"url": "https://example.org/?id=3"}, "should match pattern|names no file"),
        ({"file": "../a.zip"}, "should match pattern"),
        ({"into": "/data/set"}, "relative to data_root"),
    ],
)
def test_archives_that_cannot_be_are_refused(archive, message):
    with pytest.raises(ValueError, match=message):
        data.Archive.model_validate({"url": "https://example.org/a.zip", "into": "set", **archive})


def test_folders_of_archives_lie_apart(set_of):
    set_of([])
    archives = [{"url": "https://example.org/a.zip", "into": into} for into in ("set/labels", "set")]
    with pytest.raises(ValueError, match="'set/labels' lies in 'set'"):
        dataset(download=archives)


# --- released checkpoints ---------------------------------------------------------------------------------


def started(init: object, **net: Any) -> dict[str, Any]:
    raw = merged_config(REPO / "config" / "config.yaml")
    model = raw["models"]["ssast-tiny-scratch"]
    raw["models"] = {"m": {**model, "init": init, "net": {**model["net"], "patch": [16, 16], **net}}}
    raw["experiments"] = [{"dataset": "soundscapes", "model": "m"}]
    return raw


def test_a_released_checkpoint_is_a_file_that_can_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan(load(started({"released": "ssast-tiny-patch-400"})))
    path = "resources/checkpoints/released/SSAST-Tiny-Patch-400.pth"
    assert plan.init(plan.runs[0]) == [path]
    assert plan.released == ["ssast-tiny-patch-400"] == plan.absent
    Path(path).parent.mkdir(parents=True)
    Path(path).touch()
    assert plan.absent == []


@pytest.mark.parametrize(
    ("init", "net", "message"),
    [
        ({"released": "ssast-tiny-patch-400"}, {"size": "base"}, "net.size is 'tiny' in the released"),
        ({"released": "ssast-tiny-frame-400"}, {}, r"net.patch is \(128, 2\) in the released"),
        ({"released": "sslam-base"}, {}, "net.arch is 'sslam' in the released"),
        ({"released": "sslam-huge"}, {}, "expected one of ssast-base-patch-400, .*, or a file's path"),
        ({"released": "sslam-base", "seed": 1}, {}, "init.seed: unknown key"),
    ],
)
def test_a_network_that_contradicts_a_release_is_refused(init, net, message):
    with pytest.raises(InputError, match=message):
        load(started(init, **net))


def test_releases_are_files_of_different_names():
    names = [local_path(name) for name in RELEASED]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w/-]+\.(pth|safetensors)", name) for name in names)


def test_a_release_is_named_in_a_settings_dump_as_it_is_given():
    model = started({"released": "sslam-base"})["models"]["m"]
    assert Model.model_validate(model).model_dump(mode="json")["init"] == {"released": "sslam-base"}
