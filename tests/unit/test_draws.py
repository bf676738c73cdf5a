"""Draws of groups, on disk and over several runs."""

import numpy as np
import pytest

from tymbal.errors import InputError
from tymbal.evaluate.draws import (
    Drawn,
    Key,
    Sample,
    check_samples,
    draw,
    draw_together,
    read_drawn,
    read_sample,
    write_drawn,
)
from tymbal.runs import Run

SAMPLE = Sample(["c1", "c2", "c3"], ["r1", "r1", "r2 at 海"], "recording", 5)


def test_what_is_written_is_read(tmp_path):
    keys = [Key("AP", "蟬", "", "clip", "", ""), Key("F1_macro", "", "chosen", "clip", "season", "Dec-Feb")]
    figures = np.array([[0.5, 0.1, np.nan], [1, 1, 0.25]], dtype=np.float32)
    levels = {"season": np.array(["Dec-Feb", "", "Dec-Feb"]), "棲地": np.array(["湖", "", "Dec-Feb"])}
    write_drawn(Drawn(keys, figures, SAMPLE, levels), tmp_path / "draws.npz")
    found = read_drawn(tmp_path / "draws.npz")
    assert (found.keys, found.sample) == (keys, SAMPLE)
    np.testing.assert_array_equal(found.figures, figures)
    assert found.figures.dtype == np.float32
    assert {name: each.tolist() for name, each in found.levels.items()} == {k: v.tolist() for k, v in levels.items()}
    assert read_sample(tmp_path / "draws.npz") == SAMPLE
    write_drawn(Drawn(keys, figures, SAMPLE), tmp_path / "draws.npz")
    assert read_drawn(tmp_path / "draws.npz").levels == {}


def test_a_file_of_a_version_without_levels_is_read(tmp_path):
    key = Key("AP", "蟬", "", "clip", "", "")
    write_drawn(Drawn([key], np.zeros((1, 6), dtype=np.float32), SAMPLE), tmp_path / "draws.npz")
    with np.load(tmp_path / "draws.npz") as file:
        earlier = {name: file[name] for name in file if name not in ("slices", "level_names", "levels")}
    np.savez(tmp_path / "draws.npz", **earlier)
    found = read_drawn(tmp_path / "draws.npz")
    assert (found.keys, found.sample, found.levels) == ([key], SAMPLE, {})


def test_levels_make_the_file_hardly_larger(tmp_path):
    """Two bytes a clip and slice, however long the names of levels are."""
    ids = [f"clip-{i:05d}" for i in range(2000)]
    sample = Sample(ids, ids, "recording", 100)
    figures = np.zeros((300, 101), dtype=np.float32)
    keys = [Key("AP", "", "", "clip", "", "")] * 300
    sizes = []
    for levels in ({}, {f"slice{i}": np.array(["a place with a long name", "b"] * 1000) for i in range(6)}):
        write_drawn(Drawn(keys, figures, sample, levels), tmp_path / "draws.npz")
        sizes.append((tmp_path / "draws.npz").stat().st_size)
    assert sizes[1] - sizes[0] < 2 * 2000 * 6 + 2000


def test_a_draw_depends_on_data_set_part_and_groups_alone():
    """Not on the order or the number of a group's clips: models and seeds are compared on the same draws."""
    once = draw(["b", "a", "a", "c"], 50, "field", 1, "test")
    again = draw(["a", "c", "b", "b", "b"], 50, "field", 1, "test")
    np.testing.assert_array_equal(once.counts, again.counts)
    assert once.group.tolist() == [1, 0, 0, 2]
    assert again.group.tolist() == [0, 2, 1, 1, 1]
    for place in (("field", 2, "test"), ("other", 1, "test"), ("field", 1, "val")):
        other = draw(["a", "b", "c"], 50, *place)
        assert (once.counts[1:] != other.counts[1:]).any()


def test_runs_of_a_fold_share_draws_and_folds_are_drawn_each_for_itself():
    first, second = (Sample(["x"] * len(groups), list(groups), "recording", 20) for groups in ("aab", "abc"))
    runs = [(Run("field", "m", fold, seed), sample) for seed in (0, 1) for fold, sample in ((1, first), (2, second))]
    together = draw_together(runs)
    assert together.group.tolist() == [0, 0, 1, 2, 3, 4] * 2  # a name in another fold is another group
    alone = [draw(sample.groups, 20, "field", fold, "test").counts for fold, sample in ((1, first), (2, second))]
    np.testing.assert_array_equal(together.counts, np.hstack(alone))


def test_runs_on_other_clips_or_with_other_draws_are_all_named():
    runs = [Run("field", model, fold, 0) for model in ("a", "b") for fold in (1, 2)]
    samples = dict.fromkeys(runs, SAMPLE)
    check_samples(samples)
    samples[runs[1]] = samples[runs[3]] = SAMPLE._replace(clip_ids=["other", "fold", "clips"])
    check_samples(samples)
    samples[runs[2]] = SAMPLE._replace(groups=["r1", "r2", "r2"])
    samples[runs[3]] = SAMPLE
    with pytest.raises(InputError) as error:
        check_samples(samples)
    assert error.value.cases == (
        "results/field/b/fold1/seed0: other groups than results/field/a/fold1/seed0",
        "results/field/b/fold2/seed0: other clip_ids than results/field/a/fold2/seed0",
    )


def test_runs_of_a_data_set_are_drawn_alike_in_all_folds():
    runs = [Run(dataset, "a", fold, 0) for dataset in ("field", "other") for fold in (1, 2)]
    samples = dict.fromkeys(runs[:2], SAMPLE) | dict.fromkeys(runs[2:], SAMPLE._replace(n_draws=9))
    check_samples(samples)
    samples[runs[1]] = SAMPLE._replace(n_draws=7, group="site-day", clip_ids=["c9"])
    with pytest.raises(InputError) as error:
        check_samples(samples)
    assert error.value.cases == ("results/field/a/fold2/seed0: other group, n_draws than results/field/a/fold1/seed0",)
