"""Which level of each slice a clip is in."""

import numpy as np
import pandas as pd

from tymbal.evaluate.slices import MOST_LEVELS, Clips, slices, sorted_levels

TIMES = ["2024-01-31T23:59:00", "2024-04-05T05:00:00", "2024-12-05", ""]


def clips(labels=None, level=None, **columns) -> Clips:
    """Four clips, of which most is not known."""
    rows = pd.DataFrame({"site": "", "recorded_at": "", "start_s": 0.0}, index=range(4)).assign(**columns)
    labels = np.ones((4, 1)) if labels is None else np.array(labels)
    return Clips(rows, labels, lambda: np.zeros(4) if level is None else np.array(level), frozenset({"S1", "7"}))


def told(name: str, **facts) -> list[str]:
    return slices(clips(**facts), [name])[name].tolist()


def test_polyphony_counts_every_tag():
    labels = [[0, 0, 0, 0, 0], [0.6, 0, 0, 1, 0], [1, 1, 0.1, 1, 0], [1, 1, 1, 1, 1]]
    assert told("polyphony", labels=labels) == ["0", "2", "4+", "4+"]


def test_hours_are_of_the_name_and_of_the_place_in_the_file():
    """The third clip's time is not known, only its date; where in the recording a segment's file begins is not told."""
    assert told("hour", recorded_at=TIMES, segment=["2", "", "", ""]) == ["23", "05", "", ""]
    assert told("hour", recorded_at=TIMES, start_s=[60.0, 7200.0, 0.0, 0.0]) == ["00", "07", "", ""]


def test_seasons_are_quarters_from_december_on():
    assert told("season", recorded_at=TIMES) == ["Dec-Feb", "Mar-May", "Dec-Feb", ""]


def test_signal_level_is_thirds_of_the_clips():
    assert told("signal_level", level=[-3.0, -9.0, -6.0, -7.0]) == ["high", "low", "high", "middle"]


def test_sites_are_known_if_training_has_clips_of_them():
    assert told("known_site", site=["S1", "S2", "", "7"]) == ["known", "new", "", "known"]
    assert told("site", site=["S1", "S2", "", "7"]) == ["S1", "S2", "", "7"]


def test_any_column_of_the_manifest():
    assert told("habitat", habitat=["wood", "", None, "farm "]) == ["wood", "", "", "farm"]


def test_what_is_not_known_is_left_out(caplog):
    caplog.set_level("INFO")
    names = ["polyphony", "site", "hour", "season", "signal_level", "known_site", "habitat"]
    # What is the same for all clips of this fold may differ in another.
    assert set(slices(clips(site="S1"), names)) == {"polyphony", "site", "signal_level", "known_site"}
    assert caplog.text.count("not known") == 3


def test_levels_are_told_in_their_order():
    assert sorted_levels("season", ["Sep-Nov", "", "Mar-May", "Dec-Feb"]) == ["Dec-Feb", "Mar-May", "Sep-Nov"]
    assert sorted_levels("polyphony", ["4+", "2", "1", "2"]) == ["1", "2", "4+"]
    assert sorted_levels("signal_level", ["high", "low"]) == ["low", "high"]
    in_order = ["02", "2", "10", "S2", "S2a", "S10", "b"]
    assert sorted_levels("site", sorted(in_order)) == in_order


def test_a_column_that_tells_clips_apart_is_left_out(caplog):
    n = 2 * (MOST_LEVELS + 1)
    rows = pd.DataFrame({"owner": [str(i // 2) for i in range(n)], "habitat": [str(i % MOST_LEVELS) for i in range(n)]})
    made = Clips(rows, np.ones((n, 1)), lambda: np.zeros(n), frozenset())
    assert list(slices(made, ["owner", "habitat"])) == ["habitat"]
    assert "slice owner is left out: it has 101 levels, more than 100" in caplog.text
