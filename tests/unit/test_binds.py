"""What jobs in a container see: every folder of the configuration, however links lead there, and nothing twice."""

import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import REPO
from tymbal import binds
from tymbal.binds import OURS, VARIABLES, bind_paths, bind_variables, check_mountable
from tymbal.config import Config, load
from tymbal.errors import InputError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """As if the folder of the test were on a disk that is not mounted by itself; no variable of the machine counts."""
    monkeypatch.setattr(binds, "MOUNTED", ())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    monkeypatch.delenv("SNAKEMAKE_OUTPUT_CACHE", raising=False)
    monkeypatch.setattr(binds, "CHECKOUT", tmp_path / "work")


@pytest.fixture
def work(tmp_path) -> Path:
    """A working directory, which is also the checkout."""
    for name in ("work/results", "work/resources"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "work"


def config(**keys) -> Config:
    raw = yaml.safe_load((REPO / "config" / "esc10.yaml").read_text(encoding="utf-8"))
    shipped = yaml.safe_load((REPO / "config" / "config.yaml").read_text(encoding="utf-8"))
    return load({**shipped, **raw, **keys})


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_nothing_is_bound_when_all_is_in_the_working_directory(work):
    (work / "resources" / "esc10").mkdir()
    (work / "slurm").symlink_to("profiles/slurm")
    assert bind_paths(config(data_root=str(work / "resources"), stage=str(work)), work) == []


def test_each_place_of_the_configuration_is_bound(work, tmp_path, monkeypatch):
    data, archive = folder(tmp_path / "data"), folder(tmp_path / "野外 录音")
    scratch, stage, cache = (folder(tmp_path / name) for name in ("scratch", "stage", "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(cache))
    monkeypatch.setenv("NODE_DISK", str(tmp_path))
    start = folder(tmp_path / "starts") / "a.pth"
    start.touch()
    asked = config(data_root="../data", roots={"archive": str(archive)}, stage="$NODE_DISK/stage")
    model = next(iter(asked.models.values())).model_copy(update={"init": str(start)})
    asked = asked.model_copy(update={"models": {"model": model}})
    assert bind_paths(asked, work) == sorted([data, archive, scratch, stage, cache, start])


def test_what_is_predicted_and_what_predicts_are_bound(work, tmp_path):
    season, model = (
        folder(tmp_path / "disk" / "season"),
        folder(tmp_path / "archive" / "field" / "cnn" / "fold1" / "seed0"),
    )
    (tmp_path / "own.json").touch()
    asked = {"recordings": str(season), "model": str(model), "predict": {"thresholds": "../own.json"}}
    data = model.parents[2]  # of the model's data set, which the season is compared with
    assert bind_paths(config(**asked), work) == sorted([season, data, tmp_path / "own.json"])
    (tmp_path / "disk" / "season.txt").touch()
    other = folder(tmp_path / "other")
    asked = {"recordings": str(tmp_path / "disk" / "season.txt"), "model": str(other)}
    assert bind_paths(config(**asked), work) == [tmp_path / "disk", other]


def test_a_checkout_elsewhere_is_bound(work, tmp_path, monkeypatch):
    checkout = folder(tmp_path / "tymbal")
    monkeypatch.setattr(binds, "CHECKOUT", checkout)
    assert bind_paths(config(), work) == [checkout]


def test_what_is_not_there_is_left_out(work, tmp_path):
    (work / "results" / "gone").symlink_to(tmp_path / "gone")
    (work / "loop").symlink_to("loop")
    assert bind_paths(config(data_root=str(tmp_path / "absent"), stage="$UNSET_HERE/x"), work) == []


@pytest.mark.parametrize("link", ["results", "resources", "logs", "results/esc10", "resources/esc10"])
def test_where_a_link_leads_is_bound(work, tmp_path, link):
    scratch = folder(tmp_path / "scratch")
    if (work / link).is_dir():
        (work / link).rmdir()
    (work / link).symlink_to(os.path.relpath(scratch, (work / link).parent))
    (scratch / "meta.csv").touch()
    (scratch / "audio").mkdir()
    below = [path for path in bind_paths(config(), work) if path != scratch]
    assert all(path.parent == scratch for path in below)  # of a folder in resources/, what the data set names
    assert below or scratch in bind_paths(config(), work)


def test_every_link_of_a_chain_is_bound(work, tmp_path):
    (tmp_path / "disk").symlink_to(folder(tmp_path / "mnt"))
    (folder(tmp_path / "mnt" / "me") / "run").symlink_to(folder(tmp_path / "array" / "run"))
    (work / "results").rmdir()
    (work / "results").symlink_to(tmp_path / "disk" / "me" / "run")
    assert bind_paths(config(), work) == sorted(tmp_path / name for name in ("disk/me/run", "mnt/me/run", "array/run"))


def test_what_lies_in_another_is_bound_once(work, tmp_path):
    inner = folder(tmp_path / "data" / "archive")
    folder(tmp_path / "data-2")
    asked = config(data_root=str(tmp_path / "data"), roots={"archive": str(inner), "more": str(tmp_path / "data-2")})
    assert bind_paths(asked, work) == [tmp_path / "data", tmp_path / "data-2"]


@pytest.mark.parametrize("sign", [",", ":", "\\", "\n"])
def test_a_path_that_cannot_be_mounted_is_told(sign):
    with pytest.raises(InputError, match=r"(?s)1 problem.*What to do"):
        check_mountable([Path("/data/fine"), Path(f"/data/a{sign}b")])


def test_the_whole_file_system_cannot_be_mounted(work):
    with pytest.raises(InputError, match="whole file system"):
        check_mountable(bind_paths(config(roots={"disk": "/"}), work))


@pytest.mark.parametrize("variable", VARIABLES)
def test_what_the_user_asks_for_stays_first(variable):
    said = bind_variables({variable: "/gpfs,/a:/data:ro"}, [Path("/data"), Path("/gpfs"), Path("/scratch 1")])
    assert {said[name] for name in VARIABLES} == {"/gpfs,/a:/data:ro,/scratch 1"}


PATHS = st.lists(st.sampled_from(["/a", "/a b", "/gpfs", "/c", "/数据"]), unique=True)


@given(user=PATHS, there=PATHS, here=PATHS)
@settings(deadline=None, max_examples=100)
def test_a_job_binds_as_if_nothing_had_been_bound_where_it_was_submitted(user, there, here):
    start = {"APPTAINER_BIND": ",".join(user)}
    submitted = start | bind_variables(start, [Path(path) for path in there])
    paths = [Path(path) for path in here]
    assert bind_variables(submitted, paths) == bind_variables(start, paths)
    bound = bind_variables(submitted, paths)["APPTAINER_BIND"].split(",")
    assert [path for path in bound if path] == [*user, *(path for path in here if path not in user)]
    assert OURS in submitted
