"""Every mistake in a configuration is told, with its key, in one message."""

import copy
from pathlib import Path

import pytest
import yaml

from helpers import REPO
from tymbal.config import load
from tymbal.errors import InputError
from tymbal.runs import Plan, Run

DEFAULT = REPO / "config" / "config.yaml"
SHIPPED = sorted((REPO / "config").glob("*.yaml"))


def merged(path: Path) -> dict:
    """A shipped file over the default one, as Snakemake merges them."""

    def over(base: dict, top: dict) -> dict:
        for key, value in top.items():
            base[key] = over(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        return base

    base = yaml.safe_load(DEFAULT.read_text())
    return base if path == DEFAULT else over(base, yaml.safe_load(path.read_text()))


def changed(keys: str, value: object) -> dict:
    """The default configuration with one key set, added or (value `...`) removed."""
    raw = copy.deepcopy(merged(DEFAULT))
    *path, last = keys.split("/")
    block = raw
    for key in path:
        block = block[int(key) if isinstance(block, list) else key]
    if value is ...:
        del block[last]
    else:
        block[last] = value
    return raw


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path):
    assert Plan(load(merged(path))).runs


TAGS = {"format": "tags", "table": "tags.csv", "audio": "audio"}
DATASET = "datasets/soundscapes"
NET = "models/ssast-tiny/net"
TRAIN = "models/ssast-tiny/train"


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (f"{TRAIN}/mixupp", 0.5, "models.ssast-tiny.train.mixupp: unknown key"),
        (f"{TRAIN}/augment/specaug", 1, "augment.specaug: unknown key"),
        ("colour", "blue", "colour: unknown key"),
        (f"{DATASET}/source/table", "t.csv", "datasets.soundscapes.source.table: unknown key"),
        (f"{DATASET}/split/n_folds", 5, "split.n_folds: unknown key"),
        (f"{TRAIN}/schedule/gamma", 0.5, "schedule.gamma: unknown key"),
        (f"{TRAIN}/epochs", ..., "train.epochs: missing"),
        (f"{TRAIN}/epochs", 0, "found 0"),
        (f"{TRAIN}/loss", "mse", "'bce' or 'ce'"),
        (f"{TRAIN}/optimizer/lr", "fast", "found 'fast'"),
        (f"{DATASET}/classes", ["Bird", "Bird"], "named twice: ['Bird']"),
        (f"{DATASET}/split/val", 0.5, "must be 1, found 1.35"),
        (
            f"{DATASET}/split",
            {"scheme": "official", "n_folds": 5},
            "split scheme 'official' needs a source with folds",
        ),
        ("models/ssast-tiny/frontend", "fbank64", "no front end 'fbank64'; known: ['fbank128']"),
        (f"{NET}/patch", [256, 16], "256 mel bins high, but the front end has 128"),
        (f"{NET}/patch", [16, 600], "600 frames, but n_frames is 592"),
        (f"{TRAIN}/augment/freq_mask", 200, "200 is wider than the spectrogram (128)"),
        ("experiments/0/dataset", "esc", "no data set 'esc'; known: ['soundscapes']"),
        ("experiments/0/model", "ast", "no model 'ast'"),
        ("experiments/0/folds", [1, 2], "[2] do not exist"),
        ("experiments/0/seeds", [0, 0], "fold 1 x seed 0 is planned twice"),
        ("experiments/0/folds", [1, 1], "fold 1 x seed 0 is planned twice"),
        (f"{DATASET}/name_patterns", ["(?P<recording>"], "not a regular expression"),
        (f"{DATASET}/name_patterns", ["(?P<site>.+)"], "expected a group (?P<recording>...)"),
        (f"{DATASET}/name_patterns", ["(?P<recording>.+)_(?P<sha256>.)"], "groups ['sha256'] are columns"),
        (f"{DATASET}/source", TAGS | {"columns": ["site"]}, "a column that Tymbal fills itself"),
        (f"{DATASET}/source", TAGS | {"table": "field:tags.csv"}, "'field:tags.csv' names no known root"),
        (f"{DATASET}/source", TAGS | {"table": "D:/tags.csv"}, "relative to data_root, or ROOT:path"),
        (f"{DATASET}/source", {"format": "list", "audio": "a"}, "`classes` and `task` belong to every data set but"),
        (
            "datasets/corpus",
            {"source": {"format": "list", "audio": "a", "class_names": {"a": "b"}}},
            "`source.class_names` is without use",
        ),
        (f"{DATASET}/windows", {"length_s": 0.02, "labels": "recording"}, "greater than or equal to 0.025"),
        (f"{DATASET}/classes", ..., "`classes` and `task` belong to every data set but"),
        (f"{DATASET}/task", ..., "`classes` and `task` belong to every data set but"),
        (f"{DATASET}/split", ..., "`split` belongs to every data set with `classes`"),
        (f"{DATASET}/split/group", "speaker", "'speaker' is not one of recording, site-day, site-week, site"),
        (f"{DATASET}/split", {"scheme": "given"}, "needs a table's fold_column"),
        (f"{DATASET}/class_hz", {"Bat": [20000, 80000]}, "class_hz: 'Bat' is not one of `classes`"),
        (f"{DATASET}/windows", {"length_s": 6}, "windows.labels: missing"),
        (f"{DATASET}/windows", {"length_s": 6, "labels": "events"}, "`windows.labels: events` cannot be"),
        (f"{DATASET}/source", {"format": "raven", "audio": "a", "annotations": "b"}, "give `windows` with"),
        (f"{DATASET}/features", {"normalised": {"mean": 1}}, "normalised.std: missing"),
        (f"{DATASET}/features", {"n_mels": 64}, "have n_mels 64, but model 'ssast-tiny' has a front end with 128"),
        ("roots", {"data": "x"}, "roots.data: is taken"),
        ("path_map", {"D:/x": "field:x"}, "no root 'field'"),
        (f"{DATASET}/source", TAGS | {"table": "D:\\tags.csv"}, "source.table: found 'D:\\\\tags.csv'"),
        (f"{DATASET}/source", TAGS | {"audio": "/mnt/audio"}, "relative to data_root"),
        (f"{DATASET}/source", TAGS | {"sub_prefix": "MainTag_"}, "they must differ"),
        ("experiments", [], "at least 1 item"),
        (f"{TRAIN}/loss", "ce", "needs exactly one class a clip"),
        (f"{TRAIN}/select_by", "accuracy", "undefined for the multi-label data set"),
        ("models", {"A_b": {}}, "String should match pattern"),
        ("evaluation/target_rule", "some", "evaluation.target_rule"),
    ],
)
def test_each_mistake_is_named(keys, value, message):
    with pytest.raises(InputError) as error:
        load(changed(keys, value))
    assert message in str(error.value)
    assert "config/README.md" in str(error.value)


def test_all_mistakes_in_one_message():
    raw = changed(f"{TRAIN}/epochs", -1)
    raw["datasets"]["soundscapes"]["split"]["scheme"] = "random"
    raw["extra"] = 1
    with pytest.raises(InputError, match="3 problems"):
        load(raw)


def test_a_data_set_may_be_called_like_a_kind_of_block():
    raw = merged(DEFAULT)
    raw["datasets"]["esc"] = {"source": {"format": "esc", "audio": "a"}}
    with pytest.raises(InputError, match=r"datasets\.esc\.source\.table: missing"):
        load(raw)


def test_main_tags_must_be_told_from_sub_tags():
    raw = changed("evaluation/target_rule", "main")
    load(raw)
    raw["datasets"]["soundscapes"]["source"] = TAGS | {"sub_weight": 1.0}
    with pytest.raises(InputError, match="target rule 'main' takes weight 1 as a main tag"):
        load(raw)


def test_class_folders_are_inputs_one_by_one(tmp_path):
    raw = changed(f"{DATASET}/source", {"format": "folders", "audio": "clips"}) | {"data_root": str(tmp_path)}
    for name in ("b", "a"):
        (tmp_path / "clips" / name).mkdir(parents=True)
    files = Plan(load(raw)).source_files("soundscapes")
    assert [Path(file).relative_to(tmp_path).as_posix() for file in files] == ["clips", "clips/a", "clips/b"]


def test_every_key_is_explained_in_the_readme():
    schema = load(merged(DEFAULT)).model_json_schema()
    readme = (REPO / "config" / "README.md").read_text()
    keys = set(schema["properties"]).union(*(block.get("properties", {}) for block in schema["$defs"].values()))
    missing = sorted(key for key in keys if key not in readme)
    assert not missing


def test_runs_are_folds_times_seeds():
    raw = merged(REPO / "config" / "esc10.yaml")
    raw["experiments"] = [{"dataset": "esc10", "model": "ssast-tiny-esc10", "seeds": [0, 1], "folds": [2, 5]}]
    runs = Plan(load(raw)).runs
    assert [(run.fold, run.seed) for run in runs] == [(2, 0), (5, 0), (2, 1), (5, 1)]
    assert runs[0].folder == "results/esc10/ssast-tiny-esc10/fold2/seed0"


def test_rules_see_only_what_they_depend_on():
    plan = Plan(load(merged(DEFAULT)))
    other = Plan(load(changed(f"{DATASET}/split/seed", 7)))
    assert plan.manifest_settings("soundscapes") == other.manifest_settings("soundscapes")
    assert plan.split_settings("soundscapes") != other.split_settings("soundscapes")
    assert plan.first_run("soundscapes", "ssast-tiny") == Run("soundscapes", "ssast-tiny", 1, 0)
