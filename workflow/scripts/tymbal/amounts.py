"""How much a job has to do, from the configuration and from files that are there when the job is ready.

Only small files are read, and of tables no more than lines or one column: this is asked on the login node and again
in every job. The functions without a docstring of their own take the plan, and the wildcards and inputs of a job.
"""

import csv
import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter

from tymbal.config.data import GivenParts, Holdout
from tymbal.config.models import Encoder, EncoderSettings, Frontend, Net, Training
from tymbal.config.pretrain import LatentPretext, Pretraining
from tymbal.plan import Plan
from tymbal.roots import locate
from tymbal.runs import CARD
from tymbal.seasons import Season, data_beside

T = TypeVar("T")

CLASSES = 600  # assumed where the file that names them cannot be read; AudioSet has 527
CLIP_HOUR_MB = 4000  # of each hour that a single clip is long, decoded at 48 kHz in two channels
DECODED = 8  # files that compute_fbank decodes at a time
KEPT_SOURCES = 64  # clips that mix_soundscapes keeps, as `mix.KEPT` says


class Amount(NamedTuple):
    """How much there is to do.

    Attributes:
        clips: rows of tables.
        cells: of their classes: clips times classes.
        hours: of sound.
        mb: memory of models, MB.
        gflop: operations of models, 10^9.
    """

    clips: float = 0
    cells: float = 0
    hours: float = 0
    mb: float = 0
    gflop: float = 0


class Size(NamedTuple):
    """An encoder's size: parameters, numbers a token, layers, and layers of the decoder in SSLAM's pretext task."""

    parameters: float
    dim: int
    depth: int
    decoder_depth: int = 6


SIZES = {
    "tiny": Size(5.8e6, 192, 12),
    "small": Size(22.5e6, 384, 12),
    "base": Size(88e6, 768, 12),
    "base-nokd": Size(88e6, 768, 12),
    "large": Size(310e6, 1024, 24, decoder_depth=3),
}
CNN_PARAMETERS = 1e6


def nothing(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """Nothing that is known before, or always the same."""
    return Amount()


# --- tables and sound ---------------------------------------------------------------------------------------


def mixed(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """The soundscapes that are mixed; each of their sources may be decoded anew, and some are kept in memory."""
    source, longest_s = plan.mixtures[wildcards.dataset], _longest(input.manifest)
    n_sources = sum(n * share for n, share in enumerate(source.shares, start=1)) / sum(source.shares)
    of = _clips(plan, source.dataset)
    hours = source.n_clips * n_sources * of.hours / max(1, of.clips)
    mb = KEPT_SOURCES * 4 * source.sample_rate * longest_s / 1e6 + CLIP_HOUR_MB * longest_s / 3600
    return Amount(clips=source.n_clips, hours=hours, mb=mb)


def listed(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """The files of one part of a list."""
    dataset = plan.config.datasets[wildcards.dataset]
    return Amount(clips=_lines(input.used) / dataset.shards)


def measured(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """The clips of files that were measured: one each, or as many windows as fit."""
    dataset = plan.config.datasets[wildcards.dataset]
    if dataset.windows is None:
        n_clips: float = sum(map(_lines, input.measured))
    else:
        n_clips = sum(map(_seconds, input.measured)) / (dataset.windows.hop_s or dataset.windows.length_s)
    return Amount(n_clips, n_clips * _n_classes(plan, wildcards.dataset))


def clips(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """All clips of a data set."""
    return _clips(plan, wildcards.dataset)


def corpus(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """All clips of a corpus, of what is mixed in it, and of the data sets whose test clips are left out of it."""
    name = wildcards.corpus
    datasets = [*plan.corpus_datasets(name), *plan.corpus_sources(name).values()]
    datasets += [dataset for dataset, _ in plan.held_out(name)]
    return Amount(*map(sum, zip(*(_clips(plan, dataset) for dataset in datasets), strict=True)))


def features(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """One of the parts whose features are computed; each reads the whole manifest, and some clips at a time."""
    whole = _clips(plan, wildcards.dataset)
    clip_hours = whole.hours / max(1, whole.clips)
    hours = whole.hours / plan.config.datasets[wildcards.dataset].shards
    return whole._replace(hours=hours, mb=DECODED * CLIP_HOUR_MB * clip_hours)


def copies(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """A search for near copies: 256 products of each held-out clip with each training clip, in every fold."""
    split = plan.config.datasets[wildcards.dataset].split
    assert split is not None
    whole = _clips(plan, wildcards.dataset)
    pairs = split.n_folds * whole.clips**2 / 4  # most if both are a half
    return whole._replace(gflop=2 * 256 * pairs / 1e9)


def predictions(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """Tables of predictions, whole."""
    paths = [input.predictions] if isinstance(input.predictions, str) else input.predictions
    return Amount(cells=sum(_lines(path) * _columns(path) for path in paths))


def drawn(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """Drawn values of one run at a time, float32, and sums of them."""
    return Amount(mb=10 * max(Path(path).stat().st_size for path in input.draws) / 1e6)


def collected(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """Tables of predictions, whole, and drawn values."""
    return predictions(plan, wildcards, input)._replace(mb=drawn(plan, wildcards, input).mb)


def told_errors(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """Tables of predictions and the manifest, whole; and a few clips decoded, at most half a minute each."""
    whole = _clips(plan, wildcards.dataset)
    return whole._replace(cells=whole.cells + predictions(plan, wildcards, input).cells, hours=0)


# --- models -------------------------------------------------------------------------------------------------


def finetuning(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """A model's training on a data set."""
    settings = plan.config.models[wildcards.model]
    kept = _kept_bytes(settings.net, plan.config.frontends[settings.frontend])
    return _clips(plan, wildcards.dataset)._replace(mb=_training_mb(settings.net, kept, settings.train))


def pretraining(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """An encoder's pre-training on a corpus."""
    settings = plan.config.pretraining[wildcards.ssl]
    kept, frozen_mb = _pretext_bytes(settings, plan.config.frontends[settings.frontend]), 0.0
    if isinstance(settings.pretext, LatentPretext):
        frozen_mb = 8 * _parameters(settings.net) / 1e6  # the teacher, and what a checkpoint copies of it
    return corpus(plan, wildcards, input)._replace(mb=_training_mb(settings.net, kept, settings.train) + frozen_mb)


def probing(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """An encoder's forward pass over all clips of a data set; of each, its output after every layer is kept, twice."""
    whole, net = _forward(plan, wildcards, 1.0), plan.config.models[wildcards.model].net
    assert isinstance(net, EncoderSettings)
    size = SIZES[net.size]
    return whole._replace(mb=whole.mb + 2 * 4 * whole.clips * (size.depth + 2) * size.dim / 1e6)


def validating(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """A model's forward pass over the validation clips of a fold."""
    split = plan.config.datasets[wildcards.dataset].split
    assert split is not None
    return _forward(plan, wildcards, 1 / 2 if isinstance(split, GivenParts) else split.val)


def testing(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """A model's forward pass over the test clips of a fold."""
    split = plan.config.datasets[wildcards.dataset].split
    assert split is not None
    return _forward(plan, wildcards, split.test if isinstance(split, Holdout) else 1 / max(2, split.n_folds))


def _forward(plan: Plan, wildcards: Any, part: float) -> Amount:
    settings = plan.config.models[wildcards.model]
    frontend, parameters = plan.config.frontends[settings.frontend], _parameters(settings.net)
    whole = _clips(plan, wildcards.dataset)
    return whole._replace(
        mb=(4 * parameters + _kept_bytes(settings.net, frontend)) / 1e6,
        gflop=part * whole.clips * 2 * parameters * _tokens(settings.net, frontend) / 1e9,
    )


def _training_mb(net: Net | Encoder, kept: float, settings: Training) -> float:
    """Weights, gradients, moments and what a checkpoint copies of them; and what clips keep for the backward pass.

    On a GPU the batch is in the GPU's memory. It is asked for all the same, as a job without a GPU has it in its own.
    """
    return (32 * _parameters(net) + settings.batch_size * kept) / 1e6


def _parameters(net: Net | Encoder) -> float:
    return SIZES[net.size].parameters if isinstance(net, EncoderSettings) else CNN_PARAMETERS


def _tokens(net: Net | Encoder, frontend: Frontend) -> float:
    if not isinstance(net, EncoderSettings):
        return net.n_frames
    height, width = getattr(net, "stride", net.patch)
    return ((frontend.n_mels - net.patch[0]) // height + 1) * ((net.n_frames - net.patch[1]) // width + 1)


def _kept_bytes(net: Net | Encoder, frontend: Frontend) -> float:
    """Activations of a clip in float32: 17 numbers a token, layer and dimension; of what is no encoder, 42 a value."""
    if not isinstance(net, EncoderSettings):
        return 4 * 42 * net.n_frames * frontend.n_mels
    return _encoder_bytes(net, _tokens(net, frontend))


def _encoder_bytes(net: Encoder, n_patches: float) -> float:
    size = SIZES[net.size]
    return 4 * 17 * (n_patches + 2) * size.depth * size.dim


def _pretext_bytes(settings: Pretraining, frontend: Frontend) -> float:
    """The same of a pretext task; clones of what is visible go through the encoder, all patches through the decoder."""
    net, pretext = settings.net, settings.pretext
    if not isinstance(pretext, LatentPretext):
        return _kept_bytes(net, frontend)
    n, size = _tokens(net, frontend), SIZES[net.size]
    decoder = 4 * 4 * n * size.decoder_depth * size.dim
    rows = pretext.stage * pretext.n_clones  # in stage 2 also of its mixture
    return rows * (_encoder_bytes(net, pretext.masking.visible * n) + decoder)


# --- prediction ---------------------------------------------------------------------------------------------


def season_part(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """One part of the recordings, window by window."""
    return _heard(plan, _seconds(input.files))


def season(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """The windows of all recordings, without the model."""
    return _heard(plan, _seconds(str(_season(plan).folder / "recordings.csv")))._replace(hours=0, mb=0, gflop=0)


def reference(plan: Plan, wildcards: Any, input: Any) -> Amount:
    """The validation clips of the model, at most half of the data that it was trained on."""
    data, (n_classes, mb, gflop) = data_beside(_season(plan).model), _per_window(plan)
    n_clips = _lines(str(data / "manifest.csv")) if data else 0
    return Amount(n_clips, n_clips * n_classes, mb=mb, gflop=gflop * n_clips / 2)


def _heard(plan: Plan, seconds: float) -> Amount:
    """The windows of so much sound."""
    settings, net = plan.config.predict, _network(plan)[0]
    length_s = settings.length_s or (net.n_frames + 2) / 100
    n = seconds / (length_s * (1 - settings.overlap))
    n_classes, mb, gflop = _per_window(plan)
    return Amount(n, n * n_classes, n * length_s / 3600, mb, n * gflop)


def _per_window(plan: Plan) -> tuple[int, float, float]:
    """Classes of the model that is put to work, memory of a batch (MB), and operations a window (10^9)."""
    net, frontend, n_classes = _network(plan)
    parameters = _parameters(net)
    mb = (4 * parameters + plan.config.predict.batch_size * _kept_bytes(net, frontend)) / 1e6
    return n_classes, mb, 2 * parameters * _tokens(net, frontend) / 1e9


def _network(plan: Plan) -> tuple[Net, Frontend, int]:
    """Network, front end and number of classes of the model that is put to work."""
    card = _card(str(_season(plan).model / CARD))
    return TypeAdapter[Net](Net).validate_python(card["net"]), Frontend(n_mels=card["n_mels"]), len(card["classes"])


def _season(plan: Plan) -> Season:
    assert plan.season is not None
    return plan.season


# --- files --------------------------------------------------------------------------------------------------


def _clips(plan: Plan, dataset: str) -> Amount:
    """Clips and hours as they were found; where that is not told, the lines of the manifest."""
    folder = Path("results") / dataset
    try:
        facts = json.loads((folder / "ingest.json").read_bytes())
        n_clips, hours = int(facts["n_clips"]), float(facts["hours"])
    except (OSError, ValueError, TypeError, LookupError):
        n_clips, hours = _lines(str(folder / "manifest.csv")), 0.0
    return Amount(n_clips, n_clips * _n_classes(plan, dataset), hours)


def _n_classes(plan: Plan, dataset: str) -> int:
    classes = plan.config.datasets[dataset].classes
    if not isinstance(classes, str):
        return len(classes or ())
    try:
        return _entries(str(locate(classes, plan.config.folders)))
    except (OSError, ValueError, TypeError, LookupError):
        return CLASSES


def _remembered(read: Callable[[str], T]) -> Callable[[str], T]:
    """A file is read again only when it has changed."""

    @cache
    def read_once(path: str, *stamp: int) -> T:
        return read(path)

    def read_now(path: str) -> T:
        stamp = Path(path).stat()
        return read_once(path, stamp.st_mtime_ns, stamp.st_size)

    return read_now


@_remembered
def _card(path: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(Path(path).read_bytes())
    return card


@_remembered
def _lines(path: str) -> int:
    with Path(path).open("rb") as file:
        return sum(block.count(b"\n") for block in iter(partial(file.read, 2**20), b""))


@_remembered
def _seconds(path: str) -> float:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return sum(float(row["duration_s"]) for row in csv.DictReader(file))


@_remembered
def _longest(path: str) -> float:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return max(float(row["duration_s"]) for row in csv.DictReader(file))


@_remembered
def _entries(path: str) -> int:
    """Classes in a vocabulary (JSON), or lines of a class map (CSV)."""
    text = Path(path).read_bytes()
    return len(json.loads(text)["all_classes"]) if path.lower().endswith(".json") else len(text.splitlines())


def _columns(path: str) -> int:
    with Path(path).open("rb") as file:
        return file.readline().count(b",") + 1
