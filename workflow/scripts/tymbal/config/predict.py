"""Settings of prediction: how recordings are cut, what is detected, what is to be labelled next."""

from typing import Annotated, Literal

from pydantic import Field

from tymbal.config.base import Name, Positive, Seconds, Settings
from tymbal.config.data import ANY_NAME, SOUNDSCAPE_NAME, NamePattern


class LabelNext(Settings):
    """How many clips are proposed to be labelled."""

    clips: Positive = 100
    per_class: Positive | None = None  # at most so many of a class; None: shared evenly


class Predict(Settings):
    """How a trained model is put to work on recordings."""

    name: Name | None = None  # folder of the results; None: named after the recordings
    length_s: Seconds | None = None  # of a window; None: what the model sees
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of a window that the next one hears again
    channel: Literal["mix"] | Positive = "mix"  # the mean of the channels, or one of them, counted from 1
    # The first that matches a file's stem names site, date and time, as of a data set.
    name_patterns: Annotated[tuple[NamePattern, ...], Field(min_length=1)] = (SOUNDSCAPE_NAME, ANY_NAME)
    thresholds: str | None = None  # JSON, class -> threshold; None: those chosen with the model
    job_hours: Annotated[float, Field(gt=0)] = 8.0  # of sound that one job predicts
    batch_size: Positive = 16  # windows at a time
    scores_csv: bool = False  # scores also as CSV
    label_next: LabelNext = LabelNext()
