"""The methods paragraph tells what the configuration and the summary tables hold, and cites what was used."""

import copy
import re

import numpy as np
import pandas as pd
import pytest
import yaml

import tymbal
from helpers import REPO, merged_config
from tymbal.config import load
from tymbal.evaluate.metrics import evaluate
from tymbal.report.citations import CITATION, OURSELVES, Citations
from tymbal.report.methods import OF_PROBABILITIES, REPORTED, Methods, write_methods
from tymbal.report.results import CALIBRATION, HEADLINES, OVERALL
from tymbal.report.words import count, listed, number, share

CONFIG = merged_config(*(REPO / "config" / f"{name}.yaml" for name in ("config", "esc10", "esc10_ssl")))
CITED = yaml.safe_load(CITATION.read_text(encoding="utf-8"))


def tables(dataset, model, folds=5, seeds=1, **columns):
    """Summary tables of one experiment: `columns` are those of runs."""
    runs = pd.DataFrame(
        {
            "dataset": dataset,
            "model": model,
            "fold": [fold + 1 for fold in range(folds) for _ in range(seeds)],
            "seed": [seed for _ in range(folds) for seed in range(seeds)],
            "best_epoch": range(12, 12 + folds * seeds),
            "epochs": 60,
            "n_train": 288,
            "parameters": 5_550_154,
            "device": "NVIDIA <A>",
            "precision": "bfloat16",
            "minutes": 90.5,
            "test_clips": "clean",
            "tymbal": "0.1.0",
            "commit": "a827b73c63667c22",
            "dirty": 0,
            "torch": "2.11.0",
            "python": "3.11.7",
            "machine": "x86_64, 4 CPUs",
            "container": "",
            **columns,
        }
    )
    counts = {"n_clips": 1900, "hours": 3.1667, "recordings": 190, "sites": 6, "unlabelled": 12, "n_quarantined": 21}
    ingest = [("count", what, told) for what, told in counts.items()]
    ingest += [("quarantined", "truncated files", 20), ("quarantined", "copies", 1), ("fact", "encoding", "utf-8")]
    sizes = {"train": 240, "val": 80, "test": 80}
    metrics = [("mAP_macro", ""), ("lwlrap", ""), ("accuracy", ""), ("Brier", ""), ("AP", "rain"), ("AP", "dog_bark")]
    interval = {"n_runs": folds * seeds, "n_folds": folds, "n_seeds": seeds, "n_groups": 190}
    about = {"dataset": dataset, "model": model}
    return {
        "runs": runs,
        "ingest": pd.DataFrame(ingest, columns=["kind", "what", "told"]).assign(dataset=dataset).astype(str),
        "balance": pd.DataFrame(
            [(fold + 1, part, name, n + (fold == 0)) for fold in range(folds) for part, n in sizes.items()
             for name in ("(all)", "rain", "dog_bark", "Owl")],
            columns=["fold", "part", "class", "n_clips"],
        ).assign(dataset=dataset),
        "audit": pd.DataFrame(
            [("question", "test", "new places"), ("question", "test", "same places, other nights")],
            columns=["measure", "part", "note"],
        ).assign(dataset=dataset),
        "metrics": pd.DataFrame(metrics, columns=["metric", "class"]).assign(unit="clip", n_classes=2, **about),
        "intervals": pd.DataFrame([{"metric": "mAP_macro", "class": "", "unit": "clip", **interval, **about}]),
        "planned": pd.DataFrame([{"n_planned": folds * seeds, "n_done": folds * seeds, **about}]),
        "paired": pd.DataFrame(
            [(dataset, "other", model, n_folds) for n_folds in (0, folds)],
            columns=["dataset", "model_a", "model_b", "n_folds"],
        ),
        "pretraining": pd.DataFrame(columns=["corpus", "ssl", "seed"]),
        "corpora": pd.DataFrame(columns=["corpus", "dataset"]),
    }  # fmt: skip


def methods(dataset, model, changes=lambda raw: None, replaced=None, **columns) -> Methods:
    raw = copy.deepcopy(CONFIG)
    changes(raw)
    return write_methods(load(raw), tables(dataset, model, **columns) | (replaced or {}), dataset, model)


def keys(bibtex):
    return re.findall(r"^@\w+\{(.+),$", bibtex, flags=re.M)


def test_numbers_are_those_of_the_tables():
    text = methods("esc10", "scratch", folds=5, seeds=3).paragraph
    for told in (
        "has 1,900 clips (3.17 h) of 190 recordings at 6 sites, labelled with 3 classes, exactly one in a clip.",
        "12 clips without labels took no part.",
        "21 files had been left out (truncated files and copies).",
        "Each of the data set's own 5 folds was the test part once; 25 % of the other clips were for validation.",
        "parts had 240–241, 80–81 and 80–81 clips, and all clips of one recording were in the same part.",
        "Test clips against training clips: same places, other nights.",
        "The mean over all features of the training clips was subtracted from the input, and the difference divided by "
        "twice their standard deviation.",
        "had 5,550,154 parameters",
        "(number 12–26 of 60)",
        "We report the mean of the classes' average precision (mAP), label-weighted label-ranking average precision "
        "(lwlrap) and accuracy; means are over the classes that have positive test clips (2 of 3). Of each of these "
        "there are average precision, area under the ROC curve, d′ and Brier score, and F1, precision and recall at "
        "its own threshold and at 0.5.",
        "Of the scores as probabilities we report the Brier score, before and after calibration.",
        "Scores are means over 15 runs (5 folds, 3 seeds). Their 95 % intervals",
        "Models were compared by the differences of their means over the folds in which both have runs",
        "1,000 bootstrap draws (Davison and Hinkley 1997) of the 190 recordings",
        "Tymbal 0.1.0 (commit a827b73c63), ",
        "PyTorch 2.11.0 (Paszke et al. 2019) and Python 3.11.7.",
        "ran on NVIDIA <A> (x86_64, 4 CPUs) in bfloat16 and took 22 h 38 min in 15 runs.",
    ):
        assert told in text


def test_a_recipe_is_told():
    def changes(raw):
        raw["models"]["scratch"]["train"] = {
            "preset": "sslam-esc50",
            "augment": {"batch_mixup": {"probability": 0.9, "alpha": 0.8}},
            "epoch_clips": 1000,
        }

    text = methods("esc10", "scratch", changes).paragraph
    for told in (
        "The classifier was trained by cross-entropy with labels smoothed by 0.1 for 120 epochs in batches of 48 clips",
        "at a learning rate of 5e-5, 0.65 times the rate of the layer above in each layer of the encoder (constant "
        "where below 1e-6), linear warm-up over 10 % of the steps and then half a cosine down to 1e-6.",
        "Each epoch took 1,000 of the training clips, drawn anew.",
        "changed at random by circular shifts by any part of the clip, gains between 0.5 and 1.5, SpecAugment (Park et "
        "al. 2019; masks of at most 40 % of the mel bins and 40 % of the frames, filled with the mean) and mixup "
        "(Zhang et al. 2018; 90 % of the batches, each with itself in reverse, by one weight from Beta(0.8, 0.8)).",
    ):
        assert told in text


def test_settings_are_those_of_the_configuration():
    def changes(raw):
        raw["models"]["scratch"]["train"] |= {
            "epochs": 7,
            "batch_size": 4,
            "accumulate": 3,
            "clip_norm": 0.5,
            "early_stopping": 2,
            "select_by": "loss",
            "sampling": "balanced",
            "label_percent": 25,
            "freeze_encoder": True,
            "optimizer": {"name": "adam", "lr": 5e-7, "head_lr": 10, "weight_decay": 0, "betas": [0.95, 0.999]},
            "schedule": {"name": "step", "start": 3, "every": 1, "gamma": 0.25},
            "augment": {"freq_mask": 48, "mixup": 0.25},
        }
        raw["models"]["scratch"]["norm"] = {"mean": -6.627, "std": 5.358}
        raw["datasets"]["esc10"]["channel"] = 2
        raw["frontends"]["fbank128"] |= {"sample_rate": 22050, "n_mels": 160}
        raw["evaluation"] |= {
            "choose": {"by": "precision", "precision": 0.8, "shrink": 0},
            "calibration": "temperature",
            "bootstrap": {"draws": 200, "group": "site-day"},
        }

    text = methods("esc10", "scratch", changes, n_train=61).paragraph
    for told in (
        "Audio was reduced to channel 2, resampled to 22.05 kHz and turned into natural logarithms (of 2^-23 at least) "
        "of 160 triangular mel bands from 20 Hz to 11.025 kHz, as Kaldi computes them: power spectra of frames of 25 "
        "ms every 10 ms, without their mean, with a pre-emphasis of 0.97 and a Hanning window.",
        "A published mean, -6.627, was subtracted from the input, and the difference divided by twice a published "
        "standard deviation, 5.358.",
        "patches of 32 mel bins by 32 frames without overlap",
        "Only its classification head was trained by cross-entropy for at most 7 epochs in batches of 12 clips, with "
        "Adam (Kingma and Ba 2015; betas 0.95 and 0.999, weight decay 0) at a learning rate of 5e-7, 10 times this "
        "rate in the classification head, times 0.25 after epoch 3 and again every epoch; gradients were clipped at "
        "a norm of 0.5.",
        "25 % were used (61), taken in whole groups.",
        "rare classes were drawn more often.",
        "SpecAugment (Park et al. 2019; masks of at most 48 mel bins) and mixup (Zhang et al. 2018; 25 % "
        "of the clips).",
        "The epoch with the lowest loss on the validation clips was kept",
        "training ended after 2 epochs without a better one.",
        "each class was given the threshold that is the lowest to reach a precision of 0.8 (or the highest there is), ",
        "200 bootstrap draws",
        "190 site-days",
    ):
        assert told in text
    assert "noise" not in text
    assert "shifts" not in text


def test_a_clip_that_is_cut_and_tagged():
    def changes(raw):
        raw["datasets"]["esc10"] = {
            "source": {"format": "tags", "table": "t.csv", "audio": "a", "sub_weight": 0.4},
            "task": "multi-label",
            "classes": ["rain", "dog_bark", "Owl"],
            "windows": {"length_s": 3, "hop_s": 1.5, "labels": "recording"},
            "split": {"scheme": "kfold", "n_folds": 4, "group": "site"},
        }
        raw["models"]["scratch"]["train"]["loss"] = "bce"
        raw["evaluation"]["calibration"] = "platt"
        raw["experiments"] = [{"dataset": "esc10", "model": "scratch"}]
        raw.update(corpora={}, pretraining={}, models={"scratch": raw["models"]["scratch"]})

    told = methods("esc10", "scratch", changes, folds=2, dirty=1, container="tymbal.sif")
    for sentence in (
        "any number of them in a clip",
        "A main tag is a label of weight 1, a sub tag one of 0.4.",
        "The clips are 3 s long, one every 1.5 s of a recording, with all labels of their recording.",
        "Each of 4 folds, balanced by class, was the test part once; 25 % of the other clips were for validation.",
        "Results are of folds 1 and 2.",
        "all clips of one site were",
        "A class counts as positive with any tag, main or sub.",
        "Platt scaling (Platt 1999)",
        "(commit a827b73c63, changed)",
        "in the container tymbal.sif.",
    ):
        assert sentence in told.paragraph
    assert "ESC" not in told.paragraph
    assert not {"piczak2015esc", "guo2017calibration"} & set(keys(told.bibtex))


def test_a_single_run_is_told_as_one():
    text = methods("esc10", "scratch", folds=1, fold=3, seed=7).paragraph
    assert "Scores are of a single run (fold 3, seed 7). Their 95 % intervals" in text
    assert "means over 1 " not in text
    assert "Results are of fold 3." in text


def test_runs_that_are_missing_are_told():
    planned = pd.DataFrame([{"dataset": "esc10", "model": "scratch", "n_planned": 20, "n_done": 5}])
    text = methods("esc10", "scratch", replaced={"planned": planned}).paragraph
    assert "Scores are means over 5 runs (5 folds, 1 seed); 5 of 20 planned runs were complete. Their" in text
    assert "planned" not in methods("esc10", "scratch").paragraph


def test_a_comparison_is_told_only_where_there_is_one():
    alone = tables("esc10", "scratch")["paired"].query("n_folds == 0")
    assert "Models were compared" not in methods("esc10", "scratch", replaced={"paired": alone}).paragraph


@pytest.mark.parametrize(
    ("windows", "model", "told"),
    [
        (None, {}, "shorter clips were padded with this mean, longer ones cut at their end."),
        (None, {"long_clips": "error"}, "this mean, longer ones cut at their end by at most a tenth."),
        ({"length_s": 3}, {"padding": "original"}, "of 298 frames (2.98 s), were padded with zeros before they were"),
        ({"length_s": 9}, {"long_clips": "cut"}, "clips, of 898 frames (8.98 s), were cut at their end."),
        ({"length_s": 5.135}, {}, "It took 512 frames (5.12 s) at a time: whole clips."),
        ({"length_s": 3, "last": "keep"}, {}, "shorter clips were padded with this mean"),
    ],
)
def test_padding_and_cutting_are_told_as_far_as_clips_need_them(windows, model, told):
    def changes(raw):
        if windows:
            raw["datasets"]["esc10"]["windows"] = {"labels": "recording", **windows}
        raw["models"]["scratch"] |= model
        raw["models"]["scratch"]["net"] |= {"n_frames": 512}
        raw["models"]["scratch"]["train"].setdefault("augment", {}).pop("time_mask", None)

    assert told in methods("esc10", "scratch", changes).paragraph


def test_shares_are_those_of_the_clips():
    balance = tables("esc10", "scratch")["balance"]
    assert share(balance, "test") == "20 %"
    balance.loc[(balance["fold"] == 2) & (balance["part"] == "val"), "n_clips"] = 160
    assert share(balance, "val", ("train", "val")) == "25–40 %"


def pretrained(model, test_clips="clean"):
    made = tables("esc10", model, folds=2, test_clips=test_clips)
    rows, parts = (
        [("soundscapes-ssl", "soundscapes-tiny", 0, 47, 60, 3560)],
        [("soundscapes-ssl", "synth", 1.0, 2850, 5.0)],
    )
    for fold in (1, 2):
        corpus = f"esc10-soundscapes-without-esc10-fold{fold}"
        rows.append((corpus, "esc10-tiny", 0, 47, 60, 470 + fold))
        parts += [(corpus, "esc10", 4.0, 300 + fold, 0.44), (corpus, "synth", 0.25, 2850, 5.0)]
    rows.append(("esc10-soundscapes", "esc10-tiny", 0, 47, 60, 9999))  # for a test on another data set
    parts.append(("esc10-soundscapes", "esc10", 4.0, 9999, 99.0))
    made["pretraining"] = pd.DataFrame(rows, columns=["corpus", "ssl", "seed", "n_masked", "n_patches", "steps"])
    made["pretraining"]["kept_by"] = "val_loss"
    made["corpora"] = pd.DataFrame(parts, columns=["corpus", "dataset", "weight", "n_train", "hours"])
    return write_methods(load(CONFIG), made, "esc10", model).paragraph


def test_the_whole_way_of_pretrained_weights_is_told():
    text = pretrained("pretrained")
    first = text.index(
        "The pre-training soundscapes-tiny began with random weights and learnt to tell the masked patches of a clip "
        "apart (InfoNCE) and reconstruct them (MSE) (Gong et al. 2022), 47 of 60 patches being masked, from 2,850 "
        "clips of synth, without labels (5.00 h with the recordings held out to check it)."
    )
    second = text.index(
        "The pre-training esc10-tiny went on from soundscapes-tiny and learnt to tell the masked patches of a clip "
        "apart (InfoNCE) and reconstruct them (MSE) (Gong et al. 2022), 47 of 60 patches being masked, from 301–302 "
        "clips of esc10 (each taken 4 times an epoch) and 2,850 clips of synth (each taken 0.25 times an epoch), "
        "without labels (5.44 h with the recordings held out to check it, 2 times, each without the test clips of a "
        "fold). It took 471–472 steps of 32 clips"
    )
    assert text.count("Of its checks, that with the smallest loss on held-out recordings was kept.") == 2
    assert first < second < text.index("No test clip was among those that the starting weights were made from.")
    assert "9,999" not in text


def sslam(second=None, **net) -> Methods:
    """Of a model made in both stages, the second with settings that are given."""
    raw = copy.deepcopy(CONFIG)
    encoder = {"arch": "sslam", "size": "tiny", "patch": [16, 16], "n_frames": 512}
    shared = {"frontend": "fbank128", "corpus": "soundscapes-ssl", "net": encoder}
    train = {"epochs": 2, "batch_size": 12, "accumulate": 4}
    raw["pretraining"]["first"] = {**shared, "train": {**train, "preset": "eat"}}
    pretext = {"stage": 2, **(second or {})}
    after = {"init": {"ssl": "first", "seed": 0}, "pretext": pretext, "train": {**train, "preset": "sslam"}}
    raw["pretraining"]["second"] = {**shared, **after}
    raw["models"]["scratch"] |= {"net": {**encoder, **net}, "init": {"ssl": "second", "seed": 0}}
    made = tables("esc10", "scratch")
    rows = [("soundscapes-ssl", ssl, 0, 205, 256, 1000, "round") for ssl in ("first", "second")]
    columns = ["corpus", "ssl", "seed", "n_masked", "n_patches", "steps", "kept_by"]
    made["pretraining"] = pd.DataFrame(rows, columns=columns)
    parts = [("soundscapes-ssl", "synth", 1.0, 2850, 5.0)]
    made["corpora"] = pd.DataFrame(parts, columns=["corpus", "dataset", "weight", "n_train", "hours"])
    return write_methods(load(raw), made, "esc10", "scratch")


def test_both_stages_of_sslam_are_told():
    told = sslam()
    text = told.paragraph
    places = [
        text.index(sentence)
        for sentence in (
            "The classifier, the transformer of EAT and SSLAM (Chen et al. 2024; Alex et al. 2025) of size tiny that "
            "reads patches of 16 mel bins by 16 frames without overlap and classifies by its class token, had",
            "The pre-training first began with random weights and learnt to predict what a teacher, a moving average "
            "of the encoder that is shown whole clips, makes of the masked patches, and from the class token what it "
            "makes of the clip (Chen et al. 2024; Baevski et al. 2023), 205 of 256 patches being masked, from 2,850 "
            "clips of synth, without labels",
            "Masks of visible blocks of 5 by 5 patches were drawn, 16 for each clip. The decay of the moving average "
            "rose from 0.9998 to 0.99999 over 100,000 steps. Its targets were the outputs of the MLPs of all its "
            "blocks, each normalised over the patches of a clip, averaged and layer-normalised. It took 1,000 steps of "
            "48 clips, with AdamW (Loshchilov and Hutter 2019; betas 0.9 and 0.95, weight decay 0.05) at a learning "
            "rate of 0.0005, linear warm-up over 13.3 % of the steps and then half a cosine down to zero; gradients "
            "were clipped at a norm of 4. Of its checks, the last was kept.",
            "The pre-training second went on from first and learnt to predict",
            "and of mixtures also what it makes of each of the two (Alex et al. 2025), 205 of 256",
            "drawn, 8 for each clip and its mixture.",
            "averaged and layer-normalised (for the class token, of the last block alone).",
            "but for two regions of about 23.4 % of the length each",
            "No test clip was among those",
            "at rates rising from 0 in the first to 0.1 in the last (stochastic depth, Huang et al. 2016).",
        )
    ]
    assert places == sorted(places)
    assert {"chen2024eat", "alex2025sslam", "baevski2023efficient", "huang2016deep"} < set(keys(told.bibtex))
    assert "gong2022ssast" not in keys(told.bibtex)
    assert "weighted as published" not in text


def test_dropped_patches_are_told_and_cited():
    def changes(raw):
        raw["models"]["scratch"]["train"]["patchout"] = 0.35

    told = methods("esc10", "scratch", changes)
    assert (
        "In training, a clip went without 35 % of its patches, drawn anew each time (patchout, Koutini et al. 2022)."
        in told.paragraph
    )
    assert "koutini2022efficient" in keys(told.bibtex)


def test_settings_of_sslam_are_those_of_the_configuration():
    second = {"preset": "paper", "clones": 4, "masking": {"block": 3}, "weights": {"local_retention": 0.5}}
    text = sslam({**second, "teacher": {"start": 0.999, "steps": 500}}, pooling="mean", drop_path=0).paragraph
    for told in (
        "classifies by their mean, had",
        "blocks of 3 by 3 patches were drawn, 4 for each clip and its mixture. The decay of the moving average rose "
        "from 0.999 to 0.99999 over 500 steps.",
        "two regions of about 25 % of the length each",
        "The objectives were weighted as published, but for local retention 0.5.",
    ):
        assert told in text
    assert "stochastic depth" not in text


def test_rates_of_sslam_fall_from_block_to_block_alone():
    """SSAST's fall in its patch embedding too."""
    net = {"arch": "sslam", "size": "tiny", "n_frames": 512}

    def changes(raw):
        raw["models"]["scratch"] |= {"net": net, "init": "scratch", "train": {"preset": "sslam-ks2"}}

    text = methods("esc10", "scratch", changes).paragraph
    assert (
        "at a learning rate of 0.0002, 0.65 times this rate in the encoder's last block, 0.65 times that in the block "
        "below and so on (constant where below 1e-6), this rate in its patch embedding, class token and first norm, "
        "linear warm-up"
    ) in text
    assert "each layer of the encoder" not in text


@pytest.mark.parametrize(
    ("test_clips", "told"),
    [
        ("transductive", "Test clips, without their labels, were among those"),
        ("unknown", "It is not known whether the starting weights were made from test clips, too."),
    ],
)
def test_what_the_starting_weights_had_heard_is_told(test_clips, told):
    assert told in pretrained("pretrained", test_clips)
    assert "No test clip" not in pretrained("pretrained", test_clips)


def test_a_checkpoint_is_named_without_its_folder():
    text = methods("soundscapes", "ssast-tiny-scratch", lambda raw: raw["models"]["ssast-tiny-scratch"].update(
        init="/home/me/SSAST-Base-Patch-400.pth"), folds=1).paragraph  # fmt: skip
    assert "Its encoder started from the weights in SSAST-Base-Patch-400.pth." in text


def test_a_released_checkpoint_is_named_and_cited():
    def change(raw):
        model = raw["models"]["ssast-tiny-scratch"]
        model |= {"init": {"released": "ssast-tiny-patch-400"}, "net": {**model["net"], "patch": [16, 16]}}

    text = methods("soundscapes", "ssast-tiny-scratch", change, folds=1).paragraph
    assert "Its encoder started from the released weights ssast-tiny-patch-400 (Gong et al. 2022)." in text
    assert "/home" not in text
    assert "The clips were divided into a training, a validation and a test part, balanced by class." in text


def test_it_is_told_whose_the_validation_part_is():
    def given(raw, **split):
        raw["datasets"]["esc10"]["source"] = {"format": "long", "table": "t.csv", "audio": "a", "fold_column": "part"}
        raw["datasets"]["esc10"]["split"] = {"scheme": "given", "group": "recording", **split}

    own = methods("esc10", "scratch", given, folds=1).paragraph
    assert "Training, validation and test part are the data set's own." in own
    drawn = methods("esc10", "scratch", lambda raw: given(raw, val=0.1), folds=1).paragraph
    assert re.search(r"The test part is the data set's own; .* of the other clips were for validation\.", drawn)


def mixed(**source) -> str:
    """The paragraph on a data set of mixtures."""

    def changes(raw):
        polyphony = merged_config(REPO / "config/config.yaml", REPO / "config/polyphony.yaml")
        raw["datasets"] |= {name: polyphony["datasets"][name] for name in ("esc10-sources", "polyphony")}
        raw["datasets"]["polyphony"]["source"] |= source
        raw["models"]["scratch"]["train"]["loss"] = "bce"
        raw["experiments"] = [{"dataset": "polyphony", "model": "scratch"}]

    return methods("polyphony", "scratch", changes, folds=1).paragraph


def test_how_soundscapes_were_mixed_is_told():
    assert (
        "Each was mixed from 1 to 5 clips of different classes, all from one of the pools of about 30 (training), 10 "
        "(validation) and 5 (test) recordings into which the parts had been divided, so that recordings of the data "
        "set, which are these pools, share no source; by its loudest half second, a source was up to 10 dB (uniformly) "
        "below the loudest, and labelled with weight 1 down to 3 dB below it, else 0.6."
    ) in mixed()
    other = mixed(shares=[0, 1, 0, 2], level_range_db=6, main_within_db=1.5)
    for told in ("from 2 to 4 clips", "up to 6 dB (uniformly)", "down to 1.5 dB below it"):
        assert told in other
    assert "mixed from 2 clips of" in mixed(shares=[0, 1])


def test_only_what_was_used_is_cited():
    cnn, ssast = (methods("esc10", model) for model in ("cnn", "scratch"))
    common = ["piczak2015esc", "loshchilov2019decoupled", "park2019specaugment", "zhang2018mixup", "guo2017calibration"]
    common += ["davison1997bootstrap", "tymbal", "molder2021sustainable", "paszke2019pytorch"]
    assert sorted(keys(cnn.bibtex)) == sorted([*common, "salamon2017deep"])
    assert sorted(keys(ssast.bibtex)) == sorted([*common, "gong2022ssast"])
    assert "SSAST" not in cnn.paragraph
    plain = methods("soundscapes", "ssast-tiny-scratch", folds=1)
    assert not {"piczak2015esc", "zhang2018mixup", "salamon2017deep"} & set(keys(plain.bibtex))


def test_every_work_in_the_text_has_an_entry_and_the_other_way_round():
    told = methods("esc10", "scratch")
    for each in CITED["references"]:
        citations = Citations()
        named = citations.cite(each["abbreviation"])
        assert (named in told.paragraph) == (citations.bibtex() in told.bibtex)


NEEDED = {"inproceedings": {"booktitle", "year"}, "article": {"journal", "year"}, "book": {"publisher", "year"}}


def test_bibtex_of_all_works_is_well_formed():
    citations = Citations()
    names = [each["abbreviation"] for each in CITED["references"]]
    citations.cite(*names, OURSELVES)
    text = citations.bibtex()
    assert len(set(keys(text))) == len(names) + 1
    for entry in text.split("\n\n"):
        assert entry.count("{") == entry.count("}")
        kind = re.fullmatch(r"@(\w+)\{[a-z0-9]+,\n(  \w+ = \{.+\},\n)*  \w+ = \{.+\}\n\}", entry)[1]
        fields = set(re.findall(r"^  (\w+) = ", entry, flags=re.M))
        assert {"title", "author"} | NEEDED.get(kind, set()) <= fields
        assert kind in {*NEEDED, "misc"}  # BibTeX knows no software
        assert "None" not in entry
    assert "@article{molder2021sustainable,\n  title = {{Sustainable data analysis with Snakemake}},\n" in text
    assert "  pages = {10699--10709},\n" in text
    assert "  author = {{The Tymbal developers}},\n" in text
    assert f"  note = {{Version {tymbal.__version__}}}\n" in text
    assert "  publisher = {Cambridge University Press},\n" in text
    for preprint in ("1412.6980", "1711.05101", "1710.09412", "1706.04599"):
        assert f"  url = {{https://arxiv.org/abs/{preprint}}}\n" in text


def test_keys_are_author_year_and_a_word():
    citations = Citations()
    citations.cite("Adam", "AdamW", "platt", "bootstrap")
    assert keys(citations.bibtex()) == [
        "kingma2015adam",
        "loshchilov2019decoupled",
        "platt1999probabilistic",
        "davison1997bootstrap",
    ]


def test_the_version_to_cite_is_the_one_that_runs():
    assert CITED["version"] == tymbal.__version__


def test_the_same_gives_the_same():
    assert methods("esc10", "scratch") == methods("esc10", "scratch")


def test_metrics_named_are_those_that_are_made():
    """A metric that was renamed would silently be told no more."""
    scores, labels = np.array([[0.9, 0.1], [0.2, 0.8]]), np.eye(2)
    rows = evaluate(scores, labels, ["a", "b"], "any", {"fixed": 0.5, "chosen": 0.5}, single_label=True)
    assert {*REPORTED, *OF_PROBABILITIES} <= {row.metric for row in rows if row.class_name == ""}


def test_metrics_named_are_those_that_pages_show():
    assert set(REPORTED) == {told.name for told in (*OVERALL, *HEADLINES)}
    assert set(OF_PROBABILITIES) == {metric for _, metric, _ in CALIBRATION}


def test_words():
    assert [count(1, "clip"), count(0, "clip"), count(1900, "clip")] == ["1 clip", "0 clips", "1,900 clips"]
    assert [listed("a"), listed("ab"), listed("abc")] == ["a", "a and b", "a, b and c"]
    assert [number(x) for x in (5e-7, 0.001, 10, 1e-5)] == ["5e-7", "0.001", "10", "1e-5"]
