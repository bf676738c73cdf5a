"""Settings of prediction: how recordings are cut, what is detected, what is to be labelled next."""

from typing import Annotated, Literal

from pydantic import Field

from tymbal.config.base import Name, Positive, Seconds, Settings
from tymbal.config.data import ANY_NAME, SOUNDSCAPE_NAME, NamePattern


class LabelNext(Settings):
    """How many clips are proposed to be labelled."""

    clips: Positive = 100
    """how many clips are proposed to be labelled"""
    per_class: Positive | None = None
    """at most so many of a class; `null`: shared evenly"""


class Predict(Settings):
    """How a trained model is put to work on recordings."""

    name: Name | None = None
    """folder of the results, in `results/predictions/`; `null`: named after the recordings"""
    length_s: Seconds | None = None
    """of a window, seconds; `null`: what the model sees, `(n_frames + 2) / 100`"""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """share of a window that the next one hears again"""
    channel: Literal["mix"] | Positive = "mix"
    """`mix` (the mean of all) or the number of one channel, from 1"""
    name_patterns: Annotated[tuple[NamePattern, ...], Field(min_length=1)] = (SOUNDSCAPE_NAME, ANY_NAME)
    """as of a [data set](#datasetsname): `site`, `date` and `time` from names of files"""
    thresholds: str | None = None
    """JSON, class → threshold, of all the model's classes; `null`: the model's own"""
    job_hours: Annotated[float, Field(gt=0)] = 8.0
    """hours of sound that one job predicts; a recording is never divided"""
    batch_size: Positive = 16
    """windows at a time"""
    scores_csv: bool = False
    """`true`: scores of all windows as `scores.csv`, too"""
    label_next: LabelNext = LabelNext()
