"""How the weights a model started from were made, in sentences for a paper, as far as this workflow made them."""

from collections.abc import Iterator

import pandas as pd

from tymbal.config import Config
from tymbal.config.models import Model, Released, Ssl
from tymbal.config.pretrain import LatentPretext, PatchPretext
from tymbal.config.released import RELEASED
from tymbal.report.citations import Citations
from tymbal.report.methods_model import clipped, optimiser, schedule
from tymbal.report.numbers import span
from tymbal.report.pretrainings import KEPT, OBJECTIVES
from tymbal.report.words import count, listed, number
from tymbal.runs import HeldOut, PretrainRun, start_before


def start(
    config: Config,
    settings: Model,
    runs: pd.DataFrame,
    pretraining: pd.DataFrame,
    corpora: pd.DataFrame,
    citations: Citations,
) -> Iterator[str]:
    """The starting weights, how they were made, and what they had heard.

    Args:
        config: all settings.
        settings: of the model.
        runs: its rows of the summary table.
        pretraining: summary table.
        corpora: likewise.
        citations: to which works that are named are added.
    """
    if settings.init == "scratch":
        yield "Its weights were first drawn at random."
        return
    if isinstance(settings.init, Ssl):
        tests = [HeldOut(dataset, fold) for dataset, fold in zip(runs["dataset"], runs["fold"], strict=True)]
        yield from _pretrained(config, settings.init, tests, pretraining, corpora, citations)
    else:
        what = "encoder and head" if settings.keep_head else "encoder"
        yield f"Its {what} started from {_weights(settings.init, citations)}."
    heard = runs["test_clips"]
    if (heard == "transductive").any():
        yield "Test clips, without their labels, were among those that the starting weights were made from."
    elif (heard == "unknown").any():
        yield "It is not known whether the starting weights were made from test clips, too."
    else:
        yield "No test clip was among those that the starting weights were made from."


def _weights(init: Released | str, citations: Citations) -> str:
    """The file that a training started from, in words."""
    if isinstance(init, str):
        return f"the weights in {init.split('/')[-1]}"
    return f"the released weights {init.released} ({citations.cite(RELEASED[init.released].work)})"


def _pretrained(
    config: Config,
    init: Ssl,
    tests: list[HeldOut],
    pretraining: pd.DataFrame,
    corpora: pd.DataFrame,
    citations: Citations,
) -> Iterator[str]:
    """A pre-training, after those that it started from."""
    settings = config.pretraining[init.ssl]
    if isinstance(settings.init, Ssl):
        yield from _pretrained(config, settings.init, tests, pretraining, corpora, citations)
        origin = f"went on from {settings.init.ssl}"
    elif settings.init == "scratch":
        origin = "began with random weights"
    else:
        origin = f"began with {_weights(settings.init, citations)}"
    planned = {start_before(config, init, test) for test in tests}
    keys = zip(pretraining["corpus"], pretraining["ssl"], pretraining["seed"], strict=True)
    mine = pretraining[[PretrainRun(*key) in planned for key in keys]]
    parts = corpora[corpora["corpus"].isin(mine["corpus"])]
    heard = [
        f"{span(rows['n_train'])} clips of {name}"
        + (f" (each taken {number(rows['weight'].iloc[0])} times an epoch)" if rows["weight"].iloc[0] != 1 else "")
        for name, rows in parts.groupby("dataset", sort=False)
    ]
    hours = parts.groupby("corpus")["hours"].sum()
    several = f", {len(mine)} times, each without the test clips of a fold" if len(mine) > 1 else ""
    masked, patches = int(mine["n_masked"].iloc[0]), int(mine["n_patches"].iloc[0])
    yield (
        f"The pre-training {init.ssl} {origin} and learnt to {_task(settings.pretext, citations)}, {masked} of "
        f"{patches} patches being masked, from {listed(heard)}, without labels ({span(hours, '{:,.2f}')} h with the "
        f"recordings held out to check it{several})."
    )
    if isinstance(settings.pretext, LatentPretext):
        yield from _taught(settings.pretext)
    train = settings.train
    yield (
        f"It took {span(mine['steps'])} steps of {train.batch_size * train.accumulate} clips, with "
        f"{optimiser(train.optimizer, citations)}, {schedule(train.schedule)}{clipped(train.clip_norm)}. Of its "
        f"checks, {KEPT[mine['kept_by'].iloc[0]]} was kept."
    )


def _task(pretext: PatchPretext | LatentPretext, citations: Citations) -> str:
    if isinstance(pretext, PatchPretext):
        return f"{OBJECTIVES[pretext.objective]} ({citations.cite('SSAST')})"
    works = ("EAT", "data2vec 2.0") if pretext.stage == 1 else ("SSLAM",)
    return f"{OBJECTIVES[f'stage{pretext.stage}']} ({citations.cite(*works)})"


def _taught(pretext: LatentPretext) -> Iterator[str]:
    """Masks, targets and mixtures."""
    mixes, teacher, side = pretext.stage == 2, pretext.teacher, pretext.masking.block
    yield (
        f"Masks of visible blocks of {side} by {side} patches were drawn, {pretext.n_clones} for each clip"
        f"{' and its mixture' if mixes else ''}. The decay of the moving average rose from {number(teacher.start)} to "
        f"{number(teacher.end)} over {count(teacher.steps, 'step')}. Its targets were the outputs of the MLPs of all "
        "its blocks, each normalised over the patches of a clip, averaged and layer-normalised"
        f"{' (for the class token, of the last block alone)' if mixes else ''}."
    )
    if mixes:
        unmixed = number(round(100 * pretext.share_unmixed, 1))
        yield (
            "A mixture has the louder of two clips in each bin of the log-mel spectrogram, but for two regions of "
            f"about {unmixed} % of the length each, in which one clip is alone; what it was to retain is the mean of "
            "the targets of both clips."
        )
    published = type(pretext.weights)()
    own = {name: weight for name, weight in pretext.weights if weight != getattr(published, name)}
    if own:
        told = listed(f"{name.replace('_', ' ')} {number(weight)}" for name, weight in own.items())
        yield f"The objectives were weighted as published, but for {told}."
