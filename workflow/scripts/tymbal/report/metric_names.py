"""Metrics over classes and parts of the test clips, as pages, figures and comparisons call them."""

from typing import NamedTuple


class Metric(NamedTuple):
    """A metric in the summary tables, and its title."""

    title: str
    name: str
    thresholds: str = ""
    digits: int = 3

    @property
    def key(self) -> tuple[str, str]:
        """What tells its rows apart from those of others."""
        return self.name, self.thresholds


MAP = Metric("mAP", "mAP_macro")
MAP_MICRO = Metric("mAP, micro", "mAP_micro")
AUC = Metric("ROC AUC", "AUC_macro")
DPRIME = Metric("d′", "dprime_of_mean_AUC", digits=2)
LWLRAP = Metric("lwlrap", "lwlrap")
F1 = Metric("F1", "F1_macro", "chosen")
F1_MICRO = Metric("F1, micro", "F1_micro", "chosen")
ACCURACY = Metric("Accuracy", "accuracy")
BALANCED_ACCURACY = Metric("Balanced accuracy", "balanced_accuracy")
BRIER = Metric("Brier", "Brier_calibrated")

# Slice -> its title; those by a column of the manifest that is not named here are called as it is.
SLICES = {
    "polyphony": "Classes in the clip",
    "n_sources": "Sources in the clip",
    "site": "Site",
    "hour": "Hour of the day",
    "season": "Season",
    "signal_level": "Signal level",
    "known_site": "Site known from training",
}
