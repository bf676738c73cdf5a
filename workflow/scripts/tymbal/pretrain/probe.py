"""What an encoder knows before it is fine-tuned: simple classifiers on its frozen tokens, layer by layer.

A linear probe (Alain and Bengio, ICLR 2017 workshop, arXiv 1610.01644) tells what can be read off linearly, a k-NN
classifier (Wu et al., CVPR 2018, section 3.4) which clips the encoder finds alike. Both are fitted on the training
part of a fold and scored on its validation part; test clips are never touched, so that choosing an encoder or a layer
by its probe leaves the test honest.
"""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from tymbal.config import TargetRule
from tymbal.config.models import EncoderSettings, Net, Norm, Padding
from tymbal.errors import InputError
from tymbal.evaluate.metrics import evaluate, headline
from tymbal.evaluate.starts import corpora_of, known_of_test_clips
from tymbal.evaluate.targets import binarise
from tymbal.folds import clip_ids, read_folds
from tymbal.ingest.manifest import class_names, labels, read_manifest
from tymbal.models.build import build
from tymbal.models.encoder import Encoder, mean_token
from tymbal.models.sources import load_start
from tymbal.norm import NormStats, Scale
from tymbal.pretrain.probe_table import COLUMNS
from tymbal.progress import Progress
from tymbal.runs import Run
from tymbal.seeds import derive
from tymbal.store import FeatureStore
from tymbal.train.data import ClipSet, check_lengths

log = logging.getLogger(__name__)

BATCH = 16  # clips

# Inverse strength of the L2 penalty, as scikit-learn counts it: relative to the summed loss of the training clips.
# Fixed, never tuned, so that no choice is made on clips that are scored; weak for standardised features.
C = 0.1
MAX_ITERATIONS = 1000
# Neighbours and temperature of the votes as DINO (Caron et al., ICCV 2021, appendix B) and Wu et al. have them.
K = 20
TEMPERATURE = 0.07
CHUNK = 1024  # clips whose similarities to all training clips are in memory at once


@dataclass(frozen=True)
class Inputs:
    """Files a probe reads; `init` holds the starting weights, or is None for random ones."""

    manifest: Path
    folds: Path
    store: Path  # folder
    norm: Path
    init: Path | None


@dataclass(frozen=True)
class Task:
    """What a probe shares with the fine-tuning of the same model.

    Args:
        net: the network, an encoder with a classifier.
        norm: what the input is normalised by.
        padding: what short clips are filled up with.
        long_clips: whether clips may be cut to the network's length.
        label_percent: how much of the training part has labels.
        target_rule: which soft labels are positive.
        single_label: exactly one class a clip; accuracy is then told too.
    """

    net: Net
    norm: Norm
    padding: Padding
    long_clips: Literal["error", "cut"]
    label_percent: int
    target_rule: TargetRule
    single_label: bool


def probe(inputs: Inputs, run: Run, task: Task, device: torch.device) -> pd.DataFrame:
    """Judge the encoder that a fine-tuning starts from.

    Args:
        inputs: what to read.
        run: the fine-tuning: its fold's training and validation part are used, and its seed if weights are random.
        task: network, labels and metrics.
        device: where the encoder computes, in float32.

    Returns:
        `layer, kind, metric, value, n_train, n_val, test_clips, val_heard`. Layers are those of `Encoder.layers`. Kind
        is `linear` or `knn`, metric `mAP` or `accuracy`; a value that is not defined on the validation clips is NaN.
        `test_clips` is as `starts.known_of_test_clips` has it; `val_heard` is 1 if the data set, and so its validation
        clips, were in a corpus of the starting weights.

    Raises:
        InputError: a part has no clips, the starting weights do not fit, or clips are too long.
    """
    manifest = read_manifest(inputs.manifest)
    classes = class_names(manifest)
    store = FeatureStore(inputs.store)
    norm = NormStats.read(inputs.norm).replaced(run.model, task.norm)
    folds = read_folds(inputs.folds)
    ids = {"train": clip_ids(folds, run.fold, "train", task.label_percent), "val": clip_ids(folds, run.fold, "val")}
    if empty := [part for part in ids if not ids[part]]:
        raise InputError(
            f"fold {run.fold} has no clips in part {' and '.join(empty)}; check the data set's split settings"
        )
    check_lengths(store, ids["train"] + ids["val"], task.net.n_frames, task.long_clips)

    generator = torch.Generator().manual_seed(derive(run.seed, "init"))  # the weights that fine-tuning starts from
    model = build(task.net, store.state.n_mels, len(classes), generator)
    assert isinstance(model, Encoder) and isinstance(task.net, EncoderSettings), "no other network is probed"
    known, val_heard = known_of_test_clips("scratch", run.dataset, run.fold), False
    if inputs.init is not None:
        start = load_start(inputs.init, model, task.net, store.state)
        log.info("starting weights: %s", dataclasses.asdict(start))
        known = known_of_test_clips({"corpus": start.corpus}, run.dataset, run.fold)
        val_heard = any(part["dataset"] == run.dataset for x in corpora_of(start.corpus) for part in x["parts"])
    model.to(device).eval()

    scale = Scale.of(norm.mean, norm.std, task.padding)
    rows = manifest.set_index("clip_id")
    train, val = (
        ClipSet(store, tuple(part), labels(rows.loc[part]), task.net.n_frames, scale, device) for part in ids.values()
    )
    x_train, x_val = (pooled_layers(model, clips, what) for clips, what in ((train, "train"), (val, "val")))
    results: list[tuple[Any, ...]] = []
    progress = Progress("probe", len(x_train), "layers")
    for layer in x_train:
        a, b = (x[layer].astype(np.float64) for x in (x_train, x_val))  # [N, D] and [M, D]
        scaler = StandardScaler().fit(a)
        for kind, classify in PROBES.items():
            scores = classify(scaler.transform(a), train.labels, scaler.transform(b), task)
            figures = headline(evaluate(scores, val.labels, classes, task.target_rule, {}, task.single_label))
            for metric in ("accuracy", "mAP") if task.single_label else ("mAP",):
                results.append((layer, kind, metric, figures[metric], len(a), len(b), known, int(val_heard)))
        progress.add()
    return pd.DataFrame(results, columns=COLUMNS).astype({"value": float})


@torch.inference_mode()
def pooled_layers(model: Encoder, clips: ClipSet, what: str) -> dict[str, np.ndarray]:
    """Mean token of each clip after every layer, over the patches that hold no padding.

    The encoder itself sees the padding, or not, as it does in fine-tuning.

    Args:
        model: in evaluation mode, on the clips' device.
        clips: N clips.
        what: the clips in words, for progress lines.

    Returns:
        Layer, as of `Encoder.layers` -> [N, D] float32.
    """
    progress = Progress(f"{what} clips", len(clips.clip_ids), "clips")
    pooled: dict[str, list[Tensor]] = {}
    for batch in clips.in_order(BATCH):
        for layer, tokens in model.layers(batch.x, clips.heard(batch)).items():
            pooled.setdefault(layer, []).append(mean_token(tokens, model.visible(tokens, batch.n_frames)).cpu())
        progress.add(len(batch.x))
    return {layer: torch.cat(means).numpy() for layer, means in pooled.items()}


def linear(x: np.ndarray, soft: np.ndarray, x_new: np.ndarray, task: Task) -> np.ndarray:
    """Logistic regression: over all classes for single labels, else one for each.

    Args:
        x: features of the training clips, [N, D].
        soft: their soft labels, [N, C].
        x_new: features of the clips to score, [M, D].
        task: what the labels mean.

    Returns:
        Probabilities, [M, C]. A class that all training clips have, or none, gets 1 or 0.
    """
    scores = np.empty((len(x_new), soft.shape[1]))
    if task.single_label:
        scores[:] = 0
        known, scored = _logistic(x, soft.argmax(axis=1), x_new)
        scores[:, known] = scored
        return scores
    targets, keep = binarise(soft, task.target_rule)
    for c, kept in enumerate(keep.T):
        known, scored = _logistic(x[kept], targets[kept, c], x_new)
        scores[:, c] = scored[:, -1] if known[-1:].any() else 0
    return scores


def _logistic(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The K classes that occur among the training clips, sorted, and their probabilities [M, K]."""
    known = np.unique(y)
    if len(known) < 2:
        return known, np.ones((len(x_new), len(known)))
    classifier = LogisticRegression(C=C, max_iter=MAX_ITERATIONS).fit(x, y)
    return known, classifier.predict_proba(x_new)


def knn(x: np.ndarray, soft: np.ndarray, x_new: np.ndarray, task: Task) -> np.ndarray:
    """Votes of the `K` training clips of largest cosine similarity s, each with weight exp(s / `TEMPERATURE`).

    Args and result as of `linear`: scores are shares of the votes. A clip that is left out for a class does not vote
    on it.
    """
    targets, keep = binarise(soft, task.target_rule)
    votes, voters = torch.from_numpy(targets & keep).double(), torch.from_numpy(keep).double()
    a, b = (F.normalize(torch.from_numpy(part), dim=1) for part in (x, x_new))
    scores = []
    for part in b.split(CHUNK):
        similarity, nearest = (part @ a.T).topk(min(K, len(a)), dim=1)  # [m, K]
        weight = (similarity / TEMPERATURE).softmax(dim=1).double()[:, :, None]
        for_class, of_all = ((weight * cells[nearest]).sum(dim=1) for cells in (votes, voters))  # [m, C]
        scores.append(for_class / of_all.clamp(min=1e-12))
    return torch.cat(scores).numpy()


PROBES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, Task], np.ndarray]] = {"linear": linear, "knn": knn}
