"""What is run, planned once from the configuration: trainings, and the pre-trainings they start from."""

from typing import NamedTuple

from tymbal.config import Config
from tymbal.config.data import MixtureSource
from tymbal.config.models import Init, Ssl

# Of a trained model, in its run's folder.
WEIGHTS, CARD = "model.safetensors", "model.json"
THRESHOLDS, CALIBRATION = "thresholds.json", "calibration.json"


class Run(NamedTuple):
    """One training: a model on one fold of a data set with one seed."""

    dataset: str
    model: str
    fold: int
    seed: int

    @property
    def folder(self) -> str:
        """Where everything of this run is, relative to the working directory."""
        return f"results/{self.dataset}/{self.model}/fold{self.fold}/seed{self.seed}"


class PretrainRun(NamedTuple):
    """One pre-training: on a corpus, or on what is left of it without the test part of a fold."""

    corpus: str  # its name, or `<name>-without-<data set>-fold<k>`
    ssl: str
    seed: int

    @property
    def folder(self) -> str:
        """Where everything of this run is, relative to the working directory."""
        return f"results/pretrain/{self.corpus}/{self.ssl}/seed{self.seed}"

    @property
    def arrays(self) -> str:
        """Where clips that it completed are kept for the report."""
        return f"results/summary/pretraining/{self.corpus}/{self.ssl}/seed{self.seed}.npz"


class HeldOut(NamedTuple):
    """A test part that a pre-training must not see."""

    dataset: str
    fold: int


class PlannedFigure(NamedTuple):
    """A figure of one kind, about a data set, a model on it, or a pre-training."""

    key: str
    subject: dict[str, str]  # column of the summary tables -> value: `dataset`, `dataset` and `model`, or `ssl`

    @property
    def path(self) -> str:
        """Where it is drawn, relative to the working directory."""
        folder = ["pretraining"] if "ssl" in self.subject else []
        return "/".join(["results/figures", *folder, *self.subject.values(), f"{self.key}.svg"])


def plan_runs(config: Config) -> list[Run]:
    """All runs that the experiments ask for, in the order given there."""
    runs = []
    for experiment in config.experiments:
        split = config.datasets[experiment.dataset].split
        assert split is not None, f"{experiment.dataset} has no labels"
        folds = range(1, split.n_folds + 1) if experiment.folds == "all" else experiment.folds
        runs += [Run(experiment.dataset, experiment.model, fold, seed) for seed in experiment.seeds for fold in folds]
    return runs


def plan_pretraining(config: Config, runs: list[Run]) -> dict[Run | PretrainRun, PretrainRun]:
    """What each run, and each pre-training in turn, starts from; those that start otherwise are left out."""
    starts: dict[Run | PretrainRun, PretrainRun] = {}

    def follow(run: Run | PretrainRun, init: Init, test: HeldOut) -> None:
        if isinstance(init, Ssl):
            starts[run] = start = start_before(config, init, test)
            follow(start, config.pretraining[init.ssl].init, test)

    for run in runs:
        follow(run, config.models[run.model].init, HeldOut(run.dataset, run.fold))
    return starts


def start_before(config: Config, init: Ssl, test: HeldOut | None) -> PretrainRun:
    """The pre-training to start from before a test: one for this test part if it holds the data set tested on.

    Args:
        config: all settings.
        init: names the pre-training.
        test: what it must not see; None for a start from the corpus as it is made for all tests.
    """
    corpus = config.pretraining[init.ssl].corpus
    if test is not None and _sees(config, init.ssl, test.dataset):
        corpus = f"{corpus}-without-{test.dataset}-fold{test.fold}"
    return PretrainRun(corpus, init.ssl, init.seed)


def _sees(config: Config, ssl: str, dataset: str) -> bool:
    """Whether a corpus that wants no test clips, of this pre-training or of one it starts from, holds a data set.

    It does so too if it holds mixtures of its clips.
    """
    settings = config.pretraining[ssl]
    corpus = config.corpora[settings.corpus]
    sources = [config.datasets[name].source for name in corpus.datasets]
    mixed = [source.dataset for source in sources if isinstance(source, MixtureSource)]
    if dataset in (*corpus.datasets, *mixed) and not corpus.transductive:
        return True
    return isinstance(settings.init, Ssl) and _sees(config, settings.init.ssl, dataset)
