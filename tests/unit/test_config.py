"""Every mistake in a configuration is told, with its key, in one message."""

import copy
from pathlib import Path

import pytest

from helpers import REPO, merged_config
from tymbal.config import load
from tymbal.config.models import Optimizer
from tymbal.config.pretrain import PRESETS, PretextTraining
from tymbal.errors import InputError
from tymbal.plan import Plan
from tymbal.runs import Run

DEFAULT = REPO / "config" / "config.yaml"
SHIPPED = sorted((REPO / "config").glob("*.yaml"))
# Files that need others beneath.
OVER = {name: [REPO / "config" / "esc10.yaml"] for name in ("esc10_ssl", "esc10_labels", "patchout")}


def merged(path: Path) -> dict:
    """A shipped file over those beneath it."""
    return merged_config(DEFAULT, *OVER.get(path.stem, []), path)


def changed(keys: str, value: object, base: dict | None = None) -> dict:
    """The default or another configuration with one key set, added or (value `...`) removed."""
    raw = copy.deepcopy(base or merged(DEFAULT))
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
        (f"{TRAIN}/mixupp", 0.5, "models.ssast-tiny.train.mixupp: unknown key; is 'mixup' meant?"),
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
        (f"{NET}/patch", [16, 600], "600 frames, but n_frames is 576"),
        (f"{TRAIN}/augment/freq_mask", 200, "200 is wider than the spectrogram (128)"),
        ("experiments/0/dataset", "esc", "no data set 'esc'; known: ['soundscapes']"),
        ("experiments/0/model", "ast", "no model 'ast'"),
        ("experiments/0/folds", [1, 2], "[2] do not exist"),
        ("experiments/0/seeds", [0, 0], "fold 1 x seed 0 is planned twice"),
        ("experiments/0/folds", [1, 1], "fold 1 x seed 0 is planned twice"),
        (f"{DATASET}/name_patterns", ["(?P<recording>"], "not a regular expression"),
        (f"{DATASET}/name_patterns", ["(?P<site>.+)"], "expected a group (?P<recording>...)"),
        (f"{DATASET}/name_patterns", ["(?P<recording>.+)_(?P<sha256>.)"], "groups ['sha256'] have names"),
        (f"{DATASET}/name_patterns", ["(?P<recording>.+)_(?P<hour>.)"], "groups ['hour'] have names"),
        (f"{DATASET}/source", TAGS | {"columns": ["site"]}, "a name that Tymbal uses itself"),
        (f"{DATASET}/source", TAGS | {"columns": ["season"]}, "a name that Tymbal uses itself"),
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
        (f"{DATASET}/features", {"n_mels": 64}, "have n_mels 64, but the front end 'fbank128' has 128"),
        ("roots", {"data": "x"}, "roots.data: is taken"),
        ("path_map", {"D:/x": "field:x"}, "no root 'field'"),
        ("stage", "scratch", "stage: found 'scratch'; expected an absolute path or one that begins with a variable"),
        ("stage", "/local/$", "stage: found '/local/$'"),
        (f"{DATASET}/source", TAGS | {"table": "D:\\tags.csv"}, "source.table: found 'D:\\\\tags.csv'"),
        (f"{DATASET}/source", TAGS | {"audio": "/mnt/audio"}, "relative to data_root"),
        (f"{DATASET}/source", TAGS | {"sub_prefix": "MainTag_"}, "they must differ"),
        ("experiments", [], "at least 1 item"),
        (f"{TRAIN}/loss", "ce", "needs exactly one class a clip"),
        (f"{TRAIN}/select_by", "accuracy", "undefined for the multi-label data set"),
        ("models", {"A_b": {}}, "String should match pattern"),
        ("evaluation/target_rule", "some", "evaluation.target_rule"),
        ("evaluation/choose", {"by": "recall"}, "evaluation.choose.by: found 'recall'"),
        ("evaluation/choose", {"by": "precision", "precision": 1}, "evaluation.choose.precision: found 1"),
        ("evaluation/choose", {"shrink": -1}, "evaluation.choose.shrink: found -1"),
        ("evaluation/choose", {"shrink": float("inf")}, "evaluation.choose.shrink: found inf"),
        ("evaluation/calibration", "isotonic", "'temperature' or 'platt'"),
        ("evaluation/bootstrap", {"draws": 0}, "evaluation.bootstrap.draws: found 0"),
        ("evaluation/bootstrap", {"group": "site"}, "'recording' or 'site-day'"),
        ("evaluation/slices", ["site", "hour", "site"], "evaluation.slices: 'site' is named twice"),
        (
            "evaluation/slices",
            ["saeson"],
            "evaluation.slices: 'saeson' is no column of a planned data set",
        ),
        ("evaluation/slices", ["label:Unicorn"], "evaluation.slices: 'label:Unicorn' is no column"),
        ("corpora", {"a": {"parts": [{"dataset": "soundscapes", "weight": 0}]}}, "corpora.a.parts.0.weight: found 0"),
    ],
)
def test_each_mistake_is_named(keys, value, message):
    with pytest.raises(InputError) as error:
        load(changed(keys, value))
    assert message in str(error.value)
    assert "config/README.md" in str(error.value)


def test_slices_may_be_columns_of_any_planned_data_set():
    raw = changed("evaluation/slices", ["polyphony", "habitat", "observer", "site", "sample_rate", "label:Bird"])
    own = {"name_patterns": ["(?P<recording>.+)_(?P<habitat>.+)"], "classes": ["Bird", "Frog"]}
    raw["datasets"]["soundscapes"] |= own | {"source": TAGS | {"columns": ["observer"]}}
    load(raw)
    raw["datasets"]["other"] = raw["datasets"]["soundscapes"]
    raw["datasets"]["soundscapes"] = raw["datasets"]["other"] | {"source": TAGS}
    with pytest.raises(InputError) as error:  # the data set that has the column is not planned
        load(raw)
    assert error.value.cases == (error.value.cases[0],) and "'observer' is no column" in error.value.cases[0]
    load(raw | {"experiments": [*raw["experiments"], {"dataset": "other", "model": raw["experiments"][0]["model"]}]})


PRETRAINING = {
    "frontend": "fbank128",
    "corpus": "nights",
    "net": {"arch": "ssast", "size": "tiny", "patch": [128, 8], "n_frames": 592},  # 74 patches
    "train": {"epochs": 10, "batch_size": 32},
}
SSL = "pretraining/nights-tiny"


def with_ssl(**changes) -> dict:
    """The default configuration with a model that starts from a pre-training."""
    raw = copy.deepcopy(merged(DEFAULT))
    raw["corpora"] = {"nights": {"parts": [{"dataset": "soundscapes"}]}}
    raw["pretraining"] = {"nights-tiny": PRETRAINING | changes}
    scratch = raw["models"]["ssast-tiny-scratch"]
    net = scratch["net"] | PRETRAINING["net"] | {"stride": PRETRAINING["net"]["patch"]}
    raw["models"]["ssast-tiny"] = scratch | {"net": net, "init": {"ssl": "nights-tiny"}}
    return raw


def test_a_model_that_starts_from_a_pretraining_is_valid():
    config = load(with_ssl())
    assert config.models["ssast-tiny"].init.ssl == "nights-tiny"
    assert config.pretraining["nights-tiny"].train.optimizer.betas == (0.95, 0.999)
    assert load(config.model_dump(mode="json")) == config  # as jobs read it


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        ("models/ssast-tiny/init/ssl", "days", "models.ssast-tiny.init.ssl: no pre-training 'days'; known: ['nights-t"),
        ("models/ssast-tiny/init/sll", 1, "models.ssast-tiny.init.sll: unknown key"),
        ("models/ssast-tiny/init/seed", -1, "models.ssast-tiny.init.seed: found -1"),
        ("models/ssast-tiny/init", 3, "models.ssast-tiny.init: found 3"),
        ("models/ssast-tiny/net/size", "small", "net.size is 'tiny' in pretraining.nights-tiny, but 'small' here"),
        (
            "models/ssast-tiny/net/patch",
            [128, 4],
            "net.patch is (128, 8) in pretraining.nights-tiny, but (128, 4) here",
        ),
        (
            "models/ssast-tiny/net",
            {"arch": "sslam", "size": "small"},  # of another network, sizes and patches need not agree
            "init: net.arch is 'ssast' in pretraining.nights-tiny, but 'sslam' here",
        ),
        (f"{SSL}/net/arch", ..., "pretraining.nights-tiny.net: found"),
        (f"{SSL}/net/arch", "cnn", "pretraining.nights-tiny.net: found"),
        (f"{SSL}/net/size", "large", "pretraining.nights-tiny.net.size: found 'large'"),
        (f"{SSL}/pretext", {"stage": 2}, "pretraining.nights-tiny.pretext.stage: unknown key"),
        ("corpora/nights/parts/0/dataset", "days", "corpora.nights.parts: no data set 'days'"),
        ("corpora/nights/parts", [{"dataset": "soundscapes"}] * 2, "'soundscapes' is named twice; give it one weight"),
        ("corpora/nights/parts", [], "at least 1 item"),
        ("corpora/nights/val", 0, "corpora.nights.val: found 0"),
        ("corpora/nights-without-days", {"parts": [{"dataset": "soundscapes"}]}, "'-without-' is kept for corpora"),
        (f"{SSL}/corpus", "days", "pretraining.nights-tiny.corpus: no corpus 'days'; known: ['nights']"),
        (f"{SSL}/frontend", "fbank64", "pretraining.nights-tiny.frontend: no front end 'fbank64'"),
        (f"{SSL}/net/n_frames", 4, "pretraining.nights-tiny.net.patch: 8 frames, but n_frames is 4"),
        (f"{SSL}/net/stride", [128, 4], "pretraining.nights-tiny.net.stride: unknown key"),
        (f"{SSL}/init", {"ssl": "nights-tiny"}, "leads back to 'nights-tiny'"),
        (f"{SSL}/pretext", {"masking": {"n_masked": 74}}, "found 74, but of the 74 patches of an input at most 73"),
        (f"{SSL}/pretext", {"masking": {"n_masked": 73, "sampling": "original"}}, "at most 72 can be masked"),
        (f"{SSL}/pretext", {"masking": {"sampling": "original", "cluster": [3]}}, "always draws from 3, 4 and 5"),
        (f"{SSL}/pretext", {"objective": "generative", "contrast": "predictions"}, "contrast: without use"),
        (f"{SSL}/pretext", {"objective": "generative", "mse_weight": 1}, "mse_weight: without use"),
        (f"{SSL}/pretext", {"objective": "discriminative", "passes": 2}, "passes: without use"),
        (f"{SSL}/train/preset", "fast", "pretraining.nights-tiny.train.preset: found 'fast'"),
        (f"{SSL}/train/preset", ["ssast"], "pretraining.nights-tiny.train.preset: found ['ssast']"),
        (f"{SSL}/train/schedule", {"name": "step", "start": 1, "every": 1}, "'plateau', 'cosine'"),
        (f"{SSL}/train/optimizer", {"head_lr": 2}, "train.optimizer.head_lr: unknown key"),
        (f"{SSL}/train/loss", "bce", "pretraining.nights-tiny.train.loss: unknown key"),
        (f"{SSL}/train/epochs", ..., "pretraining.nights-tiny.train.epochs: missing"),
        (f"{SSL}/train", "modern", "pretraining.nights-tiny.train: found 'modern'"),
    ],
)
def test_each_mistake_of_a_pretraining_is_named_alone(keys, value, message):
    with pytest.raises(InputError) as error:
        load(changed(keys, value, with_ssl()))
    assert message in str(error.value)
    assert len(error.value.cases) == 1


def test_the_released_sampler_never_masks_all_and_the_even_one_leaves_one_to_see():
    for sampling, most in (("even", 73), ("original", 72)):
        load(with_ssl(pretext={"masking": {"n_masked": most, "sampling": sampling}}))


@pytest.mark.parametrize(
    "stage, patch, message",
    [
        (None, [128, 256], "net.patch: an input has 2 patches of (128, 256); expected 4 or more"),
        (1, [128, 256], "net.patch: an input has 2 patches of (128, 256); expected 4 or more"),
        (2, [64, 512], "net.patch: an input has 2 patches of (64, 512); expected 4 or more"),
        (2, [32, 256], "net.patch: an input has 2 columns of patches; stage 2 leaves two regions unmixed"),
        (1, [32, 256], None),
        (2, [64, 170], None),
    ],
)
def test_a_pretext_task_has_patches_enough(stage, patch, message):
    """Without a stage, it is SSAST's."""
    net = {"arch": "sslam" if stage else "ssast", "size": "tiny", "patch": patch, "n_frames": 512}
    raw = with_ssl(net=net, pretext={"stage": stage} if stage else {})
    raw["models"]["ssast-tiny"]["net"] = net if stage else {**net, "stride": patch}
    if message is None:
        load(raw)
        return
    with pytest.raises(InputError) as error:
        load(raw)
    assert message in str(error.value)
    assert len(error.value.cases) == 1


@pytest.mark.parametrize("key, value", [("sample_rate", 32000), ("n_mels", 64)])
def test_front_ends_of_a_model_and_its_start_must_agree(key, value):
    raw = with_ssl(frontend="other", net=PRETRAINING["net"] | {"patch": [64, 8]})
    raw["models"]["ssast-tiny"]["net"]["patch"] = [64, 8]
    raw["frontends"]["other"] = {key: value}
    with pytest.raises(InputError) as error:
        load(raw)
    (case,) = error.value.cases
    assert case.startswith(f"models.ssast-tiny.init: front end 'other' of pretraining.nights-tiny has {key} {value}")


def test_imported_features_of_a_corpus_must_be_those_of_the_front_end():
    raw = with_ssl()
    raw["datasets"]["pool"] = {"source": {"format": "list", "audio": "a"}, "features": {"sample_rate": 32000}}
    raw["corpora"]["nights"]["parts"].append({"dataset": "pool"})
    with pytest.raises(InputError, match=r"pretraining\.nights-tiny: the features of 'pool' have sample_rate 32000"):
        load(raw)


def test_pretrainings_may_follow_each_other_but_in_no_circle():
    raw = with_ssl(init={"ssl": "first"})
    raw["pretraining"]["first"] = PRETRAINING
    load(raw)
    raw["pretraining"]["first"] = PRETRAINING | {"init": {"ssl": "second"}}
    raw["pretraining"]["second"] = PRETRAINING | {"init": {"ssl": "first"}}
    with pytest.raises(InputError) as error:
        load(raw)
    assert [case.partition(":")[0] for case in error.value.cases] == [
        "pretraining.first.init",
        "pretraining.second.init",
    ]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_preset_is_what_is_not_given_key_by_key(preset):
    def train(**changes) -> PretextTraining:
        settings = PRETRAINING | {"train": PRETRAINING["train"] | {"preset": preset} | changes}
        return load(with_ssl(**settings)).pretraining["nights-tiny"].train

    whole, expected = train(), PRESETS[preset]
    for block in ("optimizer", "schedule"):
        assert getattr(whole, block).model_dump() == getattr(whole, block).model_dump() | expected[block]
    assert whole.clip_norm == expected.get("clip_norm")
    assert train(optimizer={"lr": 0.01}).optimizer == whole.optimizer.model_copy(update={"lr": 0.01})
    assert train(schedule={"warmup_steps": 7}).schedule == whole.schedule.model_copy(update={"warmup_steps": 7})
    assert train(clip_norm=3).clip_norm == 3
    other = "cosine" if preset == "ssast" else "plateau"
    assert train(schedule={"name": other}).schedule.name == other
    kind = "adamw" if preset == "ssast" else "adam"  # of another kind, nothing is taken over
    assert train(optimizer={"name": kind, "lr": 0.01}).optimizer == Optimizer(name=kind, lr=0.01)


def test_the_name_of_a_pretraining_is_no_path():
    for keys in ("models/ssast-tiny/init", "pretraining/nights-tiny/init"):
        raw = changed(keys, "first", with_ssl())
        raw["pretraining"]["first"] = PRETRAINING
        with pytest.raises(InputError, match=r"init: text is .* pre-training 'first', write {ssl: first}") as error:
            load(raw)
        assert len(error.value.cases) == 1


CNN = {"arch": "cnn", "n_frames": 592}


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        ("init", "a.pth", "models.ssast-tiny.init: found 'a.pth'; a network of arch 'cnn' starts from scratch"),
        ("init", {"ssl": "nights-tiny"}, "found {ssl: nights-tiny}; a network of arch 'cnn' starts from scratch"),
        ("train/freeze_encoder", True, "a network of arch 'cnn' starts from scratch, so nothing is worth freezing"),
        ("train/optimizer/layer_decay", 0.7, "layer_decay: without use, as a network of arch 'cnn' has no layers"),
        ("train/patchout", 0.5, "train.patchout: without use, as a network of arch 'cnn' has no patches to leave out"),
        ("net/size", "tiny", "models.ssast-tiny.net.size: unknown key"),
        ("net/arch", "rnn", "models.ssast-tiny.net"),
    ],
)
def test_mistakes_of_a_cnn(keys, value, message):
    base = changed(f"{NET}", CNN, with_ssl())
    base["models"]["ssast-tiny"]["init"] = "scratch"
    load(base)
    with pytest.raises(InputError) as error:
        load(changed(f"models/ssast-tiny/{keys}", value, base))
    assert message in str(error.value)
    assert len(error.value.cases) == 1


def test_a_cnn_needs_mel_bins_for_its_layers():
    base = changed(NET, CNN, with_ssl())
    base["models"]["ssast-tiny"]["init"] = "scratch"
    with pytest.raises(
        InputError, match="net: a network of arch 'cnn' needs 32 mel bins or more, but the front end has 31"
    ):
        load(changed("frontends/fbank128/n_mels", 31, base))


def test_layers_of_a_frozen_encoder_have_no_rates():
    raw = changed(f"{TRAIN}/freeze_encoder", True, with_ssl())
    load(raw)
    with pytest.raises(InputError, match="layer_decay: without use, as the encoder is frozen"):
        load(changed(f"{TRAIN}/optimizer/layer_decay", 0.7, raw))


def test_padding_is_not_ignored_by_a_cnn_nor_where_it_is_rolled_into():
    raw = with_ssl()
    raw["models"]["ssast-tiny"]["padding"] = "ignored"
    raw["models"]["ssast-tiny"]["train"]["augment"] = {"clip_roll": True}
    load(raw)
    with pytest.raises(InputError, match=r"train\.augment\.roll: would shift sound into padding"):
        load(changed(f"{TRAIN}/augment", {"roll": 10}, raw))
    raw["models"]["ssast-tiny"]["init"] = "scratch"
    with pytest.raises(
        InputError, match="padding: found 'ignored', but a network of arch 'cnn' hears all of its input"
    ):
        load(changed(NET, CNN, raw))


def test_a_frozen_encoder_drops_no_patches():
    raw = changed(f"{TRAIN}/patchout", 0.5, with_ssl())
    load(raw)
    with pytest.raises(InputError, match="patchout: without use, as the encoder is frozen"):
        load(changed(f"{TRAIN}/freeze_encoder", True, raw))
    with pytest.raises(InputError, match=r"train\.patchout: found 1\.0"):
        load(changed(f"{TRAIN}/patchout", 1.0, raw))


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


def test_platt_scaling_is_of_models_with_bce():
    raw = merged(REPO / "config" / "esc10.yaml")
    raw["evaluation"]["calibration"] = "platt"
    (name,) = {experiment["model"] for experiment in raw["experiments"]}
    raw["models"][name]["train"]["loss"] = "bce"
    load(raw)
    raw["models"][name]["train"]["loss"] = "ce"
    with pytest.raises(InputError, match=f"model '{name}' has loss 'ce', but evaluation.calibration 'platt'"):
        load(raw)


def test_published_figures_are_shares_not_percent():
    told = {"model": "random forest", "metric": "accuracy", "value": 0.727, "source": "Piczak 2015"}
    raw = merged(DEFAULT)
    raw["datasets"]["soundscapes"]["published"] = [told]
    assert Plan(load(raw)).published == {"soundscapes": [told]}
    raw["datasets"]["soundscapes"]["published"] = [{**told, "value": 72.7}]
    with pytest.raises(InputError, match=r"datasets\.soundscapes\.published\.0\.value: found 72\.7"):
        load(raw)
