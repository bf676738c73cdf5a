"""Every recipe on a small copy of its data set: settings, plan, manifest, and the split that the set itself has."""

import re
from pathlib import Path

import pytest

import layouts_clips
import layouts_scenes
from helpers import REPO, merged_config
from tymbal.config import Config, load
from tymbal.config.data import GivenParts, OfficialFolds
from tymbal.config.models import Released
from tymbal.config.released import RELEASED
from tymbal.folds import clip_ids
from tymbal.ingest.match import list_clips, match
from tymbal.ingest.measure import measure
from tymbal.ingest.prepare import Prepared, assemble
from tymbal.plan import Plan
from tymbal.roots import locate
from tymbal.split import split_folds

COPIES = {**layouts_clips.COPIES, **layouts_scenes.COPIES}
FOLDER, PAGES = REPO / "config" / "recipes", REPO / "docs" / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
# Data sets with folds, and those that have none or are not split by them; all others have parts of their own.
OFFICIAL = {"esc50": 5, "esc10-of-esc50": 5, "urbansound8k": 10}
OTHERS = {"fsdd-speakers": "kfold", "birdnet-folders": "holdout"}
UNPUBLISHED = {
    "fsdd",
    "fsdd-speakers",
    "birdnet-folders",
    "anuraset",
}  # no figure was found that ours could be held against


def of_recipe(name: str, data: Path | str = "data") -> Config:
    raw = merged_config(REPO / "config" / "config.yaml", FOLDER / f"{name}.yaml")
    return load({**raw, "data_root": str(data)})


@pytest.fixture(scope="module", params=RECIPES)
def copied(request, tmp_path_factory) -> tuple[Config, dict[str, Prepared]]:
    """A recipe, and each of its data sets as ingest reads the copy."""
    data = tmp_path_factory.mktemp(request.param)
    COPIES[request.param](data)
    config = of_recipe(request.param, data)
    prepared = {}
    for name in Plan(config).datasets_read:
        dataset = config.datasets[name]
        matched = match(dataset, name, config.folders, {}, list_clips(dataset, name, config.folders))
        assert not matched.missing and not matched.problems
        measured = measure(locate(matched.audio, config.folders), sorted(matched.records), None, threads=1)
        prepared[name] = assemble(dataset, matched, measured)
    return config, prepared


def test_each_recipe_has_a_copy_of_its_data_set():
    assert sorted(COPIES) == RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_complete(name):
    config = of_recipe(name)
    plan = Plan(config)
    own = set(merged_config(FOLDER / f"{name}.yaml")["datasets"])
    assert set(plan.datasets) == own
    first, *others = [config.models[run.model] for run in plan.runs]
    assert (first.init, first.net.size) == ("scratch", "tiny")
    assert any(isinstance(model.init, Released) for model in others)
    for dataset in own:
        settings = config.datasets[dataset]
        metric = "accuracy" if settings.task == "single-label" else "mAP_macro"
        assert {row.metric for row in settings.published} == (set() if dataset in UNPUBLISHED else {metric})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_told_on_a_page_that_the_index_names(name):
    (page,) = set(re.findall(r"docs/recipes/([\w-]+\.md)", (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
    assert f"config/recipes/{name}.yaml" in (PAGES / page).read_text(encoding="utf-8")
    index = (PAGES / "index.md").read_text(encoding="utf-8")
    assert f"]({page})" in index
    assert f"`{name}`" in index


def test_the_index_names_every_released_checkpoint_with_its_network():
    rows = re.findall(
        r"^\| `([\w-]+)` \| (\w+), (\w+)(?:, `patch: \[(\d+), (\d+)\]`)? \|",
        PAGES.joinpath("index.md").read_text(),
        re.M,
    )
    told = {name: (arch, size, (int(rows or 16), int(columns or 16))) for name, arch, size, rows, columns in rows}
    assert told == {name: (each.arch, each.size, each.patch) for name, each in RELEASED.items()}


def test_the_copy_is_read_without_a_problem(copied):
    config, prepared = copied
    for name, found in prepared.items():
        assert found.problems == []
        assert len(found.manifest) > 0
        assert not len(found.quarantine)
        assert set(config.datasets[name].extra_columns) <= set(found.manifest.columns)


def test_parts_and_folds_are_those_of_the_set(copied):
    config, prepared = copied
    for name, found in prepared.items():
        split = config.datasets[name].split
        folds, _ = split_folds(found.manifest, split)
        told = found.manifest.groupby("fold")["clip_id"].agg(sorted).to_dict()
        if name in OTHERS:
            assert split.scheme == OTHERS[name]
            if name == "fsdd-speakers":
                speakers = found.manifest.set_index("clip_id")["speaker"]
                tested = [set(speakers[clip_ids(folds, fold, "test")]) for fold in range(1, split.n_folds + 1)]
                assert all(len(each) == 1 for each in tested) and set.union(*tested) == set(speakers)
        elif name in OFFICIAL:
            assert isinstance(split, OfficialFolds) and split.n_folds == OFFICIAL[name]
            for fold in range(1, split.n_folds + 1):
                assert clip_ids(folds, fold, "test") == told[str(fold)]
        else:
            assert isinstance(split, GivenParts)
            assert clip_ids(folds, 1, "test") == told["test"]
            train, val = clip_ids(folds, 1, "train"), clip_ids(folds, 1, "val")
            assert train and val
            assert sorted(train + val) == sorted(told["train"] + told.get("val", []))
            assert split.val is not None or val == told["val"]
