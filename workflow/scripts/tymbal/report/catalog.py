"""The figures there are, in the order of the report. Read when the Snakefile is parsed: no heavy imports.

To add one: an entry here, and a function of the same name in `tymbal.report.figures`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure.

    Args:
        title: short.
        caption: what is shown, of which clips, what a line or band means.
        scope: drawn once a data set; once for every model on it; once a data set on which models differ in nothing but
            the share of labels they train on; or once a pre-training.
    """

    title: str
    caption: str
    scope: Literal["dataset", "model", "labels", "pretraining"]


FIGURES = {
    "per-class-ap": FigureKind(
        title="Average precision by class",
        caption="Average precision on test clips, best class first. A large dot is the mean over runs, small dots are "
        "the runs, the tick is chance: the share of clips that are positive. n is the number of positive test clips, "
        "summed over runs. Runs share training clips, so their spread is not a confidence interval.",
        scope="model",
    ),
    "pr-curves": FigureKind(
        title="Precision and recall",
        caption="Precision against recall as the threshold falls, test clips of all runs pooled; n is the number of "
        "positive clips among them. The dashed line is chance. Pooling ranks scores of different models together, so "
        "the area under a curve can differ from the mean average precision over runs.",
        scope="model",
    ),
    "confusion": FigureKind(
        title="What is taken for what",
        caption="Test clips of all runs pooled, per cent of each row; n is the number of clips in the row. "
        "Single-label data: the class with the highest score, each row sums to 100. Multi-label data: of the clips "
        "that hold the row's class, how many the column's class is detected in; classes that sound together make "
        "cells off the diagonal without any mistake, and a row can sum to more than 100.",
        scope="model",
    ),
    "examples": FigureKind(
        title="Examples",
        caption="Test clips of the first run, from the best to the worst predicted (by cross-entropy). Log-mel "
        "spectrograms on a common scale of brightness. Bars are scores; filled bars are classes tagged in the clip, "
        "with the tag's weight if it is below 1, and open bars are the highest-scored of the others.",
        scope="model",
    ),
    "training-curves": FigureKind(
        title="Training curves",
        caption="Left: mean loss of a clip in training (with augmentation) and validation. Right: macro mAP of the "
        "validation clips. Thin lines are single runs (a fold and a seed each), thick lines their mean while all of "
        "them go on; a dot marks the epoch whose weights were kept.",
        scope="model",
    ),
    "class-shares": FigureKind(
        title="Classes in each part of the split",
        caption="Share of a class's weight (of its clips, for weights of 1) in the training, validation and test part. "
        "Each dot is one fold, the line is the share aimed for. n is the number of positive clips in the data set. "
        "All clips of a group are in one part, so rare classes cannot always meet the target.",
        scope="dataset",
    ),
    "label-share": FigureKind(
        title="How many labels it takes",
        caption="Scores of test clips against the share of the training clips that was used, with their labels, to "
        "train the classifier; a line joins models that differ in nothing else. Large dots are means over runs, small "
        "dots the runs. Whole groups of clips are taken, smaller subsets are within larger ones, and validation clips "
        "are always all used. Pre-training sees all clips of its corpus, without labels, whatever the share.",
        scope="labels",
    ),
    "pretext-curves": FigureKind(
        title="Curves of the pretext task",
        caption="On training clips (grey, mean since the check before) and on recordings of the corpus that are held "
        "out (blue), with the same masks at every check. Thin lines are single runs (a corpus and a seed each), thick "
        "lines their mean while all of them go on; a dot marks the check whose weights were kept. "
        "The dashed line is chance, for a clip without padding.",
        scope="pretraining",
    ),
    "reconstructions": FigureKind(
        title="What it makes of masked clips",
        caption="Clips of held-out recordings of the corpus, of the first run: log-mel spectrogram; what the encoder "
        "is shown; and what it fills in. An encoder that only tells patches apart fills in nothing: in each place "
        "stands the masked patch of the clip that it takes for the one hidden there.",
        scope="pretraining",
    ),
}
