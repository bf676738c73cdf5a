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
        tables: of the summary, that are drawn, first the one without which there is nothing to show; a figure without
            any shows clips with features.
        absent: said where the tables hold nothing about the subject.
    """

    title: str
    caption: str
    scope: Literal["dataset", "model", "labels", "pretraining"]
    tables: tuple[str, ...] = ()
    absent: str = "No run of this has results yet."

    @property
    def read(self) -> tuple[str, ...]:
        """All summary tables that drawing it reads: those drawn, and the one that tells a data set's classes."""
        return self.tables if self.scope == "pretraining" else ("balance", *self.tables)


BARS = (
    "Bars are 95 % intervals of the bootstrap: groups of test clips are drawn anew within each fold, the same for all "
    "seeds. They tell how much hangs on which recordings happened to be tested, not how another training would end. "
)

FIGURES = {
    "per-class-ap": FigureKind(
        title="Average precision by class",
        caption="Average precision on test clips, best class first. A large dot is the mean over runs, small dots "
        f"are the runs. {BARS}The tick is chance: the share of clips that are positive. n is the number of positive "
        "test clips, each counted once.",
        scope="model",
        tables=("intervals", "metrics"),
    ),
    "slices": FigureKind(
        title="Where it does well",
        caption="Scores on parts of the test clips, means over runs (and over classes, but for accuracy); a part of "
        f"the clips that the data set does not tell apart is not shown. n is the number of clips. {BARS}The dashed "
        "line is the score of all test clips. The tick is chance: for mAP the mean share of positives, which "
        "differs from part to part and moves mAP with it, for ROC AUC always 0.5. So compare mAP of two parts only "
        "together with their ROC AUC. Signal levels are thirds of the test clips by mean log-mel.",
        scope="model",
        tables=("slices", "intervals"),
        absent="Parts of the test clips: not told by this data set.",
    ),
    "pr-curves": FigureKind(
        title="Precision and recall",
        caption="Precision against recall as the threshold falls, test clips of all runs pooled; n is the number of "
        "positive clips among them. The dashed line is chance. Pooling ranks scores of different models together, so "
        "the area under a curve can differ from the mean average precision over runs.",
        scope="model",
        tables=("pr_curves",),
    ),
    "thresholds": FigureKind(
        title="Thresholds",
        caption="The score at which a class counts as detected, chosen on validation clips; a line a run. Open dots "
        "are what the class's own clips say, filled dots what is used: drawn towards the threshold of all classes "
        "together (the tick) where positives are few. Bars are 95 % intervals of the choice, groups of validation "
        "clips drawn anew. n is the number of positive validation clips of a run.",
        scope="model",
        tables=("thresholds",),
        absent="No thresholds are chosen for this data set.",
    ),
    "reliability": FigureKind(
        title="Can the scores be taken for probabilities?",
        caption="Test clips of all runs pooled; all pairs of clip and class, by falling score, in ten bins of equal "
        "number. A dot is a bin: where its scores lie on average, and how many of its pairs are positive; on the "
        "dashed line both agree. The thin bars are the bins, from their lowest to their highest score: short ones "
        "where scores are many. Vertical bars are 95 % intervals, groups of test clips drawn anew. Axes are "
        "stretched near 0 (square roots). Calibration was fitted on validation clips. ECE is the mean distance from "
        "the dashed line of the bins of a run, which the dots pool, Brier the mean squared error with its 95 % "
        "interval; both are means over runs, and less is better.",
        scope="model",
        tables=("reliability", "intervals"),
        absent="No calibration is fitted for this data set.",
    ),
    "confusion": FigureKind(
        title="What is taken for what",
        caption="Test clips of all runs pooled, per cent of each row; n is the number of clips in the row. "
        "Single-label data: the class with the highest score, each row sums to 100. Multi-label data: of the clips "
        "that hold the row's class, how many the column's class is detected in, by the one fixed threshold for all "
        "classes that is told below the figure, not by the chosen ones; classes that sound together make cells off the "
        "diagonal without any mistake, and a row can sum to more than 100.",
        scope="model",
        tables=("confusion", "metrics"),
    ),
    "dependence": FigureKind(
        title="What depends on what",
        caption="Test clips, each once. How often two classes are heard together: 1 is as often as if they came and "
        "went independently, blue more often, orange more rarely; empty where chance expects less than one clip. "
        "Beside it, the correlation over clips of the model's errors (calibrated probability less truth, mean over "
        "seeds): blue where it errs on both classes in the same direction, orange in opposite ones; empty where a "
        "class has no positives or no negatives.",
        scope="model",
        tables=("dependence",),
        absent="Needs two classes.",
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
        tables=("curves",),
    ),
    "class-shares": FigureKind(
        title="Classes in each part of the split",
        caption="Share of a class's weight (of its clips, for weights of 1) in the training, validation and test part. "
        "Each dot is one fold, the line is the share aimed for. n is the number of positive clips in the data set. "
        "All clips of a group are in one part, so rare classes cannot always meet the target.",
        scope="dataset",
        tables=("balance",),
    ),
    "label-share": FigureKind(
        title="How many labels it takes",
        caption="Scores of test clips against the share of the training clips that was used, with their labels, to "
        "train the classifier; a line joins models that differ in nothing else. Large dots are means over runs, "
        f"small dots the runs. {BARS}How many seeds a point is of stands at the top right: fewer than three are thin. "
        "Whole groups of clips are taken, smaller subsets are within larger ones, and validation clips are always all "
        "used. Pre-training sees all clips of its corpus, without labels, whatever the share.",
        scope="labels",
        tables=("intervals", "metrics", "runs"),
    ),
    "pretext-curves": FigureKind(
        title="Curves of the pretext task",
        caption="On training clips (grey, mean since the check before) and on recordings of the corpus that are held "
        "out (blue), with the same masks at every check. Thin lines are single runs (a corpus and a seed each), thick "
        "lines their mean while all of them go on; a dot marks the check whose weights were kept. "
        "A dashed line is chance, for a clip without padding. Losses of what a teacher makes of a clip can rise while "
        "the encoder gets better, because the teacher moves, and its targets become richer; so the last check is kept. "
        "The spread of predictions is their standard deviation over a clip's patches: 0 if all are predicted alike.",
        scope="pretraining",
        tables=("pretext_curves", "pretraining"),
    ),
    "reconstructions": FigureKind(
        title="What it makes of masked clips",
        caption="Clips of held-out recordings of the corpus, of the first run: log-mel spectrogram; what the encoder "
        "is shown; and what it fills in. An encoder that does not reconstruct fills in nothing: in each place stands a "
        "hidden patch of the same clip. Of one that tells patches apart, it is the patch that it takes for the one "
        "hidden there; of one that predicts what a teacher makes of hidden patches, the patch of which the teacher "
        "makes what is nearest to the prediction.",
        scope="pretraining",
    ),
}
