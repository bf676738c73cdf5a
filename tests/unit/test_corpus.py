"""The corpus: no test clip under any name, whole recordings for validation, and figures that add up."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import write_store
from tymbal.config.pretrain import Corpus
from tymbal.errors import InputError
from tymbal.fit_norm import fit_norm
from tymbal.ingest.manifest import write_manifest
from tymbal.pretrain.corpus import REASONS, HeldOut, joined_ids, read_corpus
from tymbal.pretrain.corpus import list_corpus as list_any_corpus
from tymbal.store import FeatureStore
from tymbal.tables import write_csv

TIME = "2024-01-05T05:00:00"


def rows(dataset: str, n: int, **columns) -> pd.DataFrame:
    """A manifest of n clips of as many recordings; `columns` override."""
    ids = [f"{i:03d}" for i in range(n)]
    known = {
        "clip_id": ids,
        "root": "data",
        "path": [f"{dataset}/{i}.wav" for i in ids],
        "start_s": 0.0,
        "duration_s": 36.0,
        "recording": [f"{dataset} {i}" for i in ids],
        "site": "",
        "recorded_at": "",
        "segment": "",
        "fold": "",
        "sample_rate": 16000,
        "channels": 1,
        "sha256": [f"{dataset} {i}" for i in ids],
    }
    return pd.DataFrame(known | columns)


@pytest.fixture
def manifest(tmp_path):
    """Writes a manifest, and gives its path."""

    def write(dataset: str, clips: pd.DataFrame):
        path = tmp_path / dataset / "manifest.csv"
        write_manifest(clips, path)
        return path

    return write


@pytest.fixture
def tested(manifest, tmp_path):
    """Writes a data set whose fold 1 tests clip 000, and whose fold 2 tests clip 001; gives both test parts."""

    def write(clips: pd.DataFrame, dataset: str = "tested", unlabelled: tuple[str, ...] = ()):
        folds = pd.concat([pd.DataFrame({"fold": fold, "clip_id": clips["clip_id"]}) for fold in (1, 2)])
        is_test = folds["clip_id"] == (folds["fold"] - 1).map("{:03d}".format)
        folds["part"] = np.where(is_test, "test", "train")
        folds.loc[folds["clip_id"].isin(unlabelled), "part"] = "unlabelled"
        folds["subset"] = ""
        path = tmp_path / dataset / "folds.csv"
        write_csv(folds, path)
        return [HeldOut(dataset, fold, manifest(dataset, clips), path) for fold in (1, 2)]

    return write


def list_corpus(settings: Corpus, manifests, held_out, sources=None):
    """As it is, without mixtures unless told."""
    return list_any_corpus(settings, manifests, held_out, sources or {})


def corpus(*datasets: str, **changes) -> Corpus:
    return Corpus(parts=[{"dataset": dataset} for dataset in datasets], **changes)


def of(clips: pd.DataFrame, dataset: str) -> list[str]:
    return clips.loc[clips["dataset"] == dataset, "clip_id"].tolist()


def test_the_test_part_of_the_fold_is_left_out_and_nothing_else(tested):
    first, second = tested(rows("tested", 5))
    for fold, absent in (first, "000"), (second, "001"):
        clips, facts = list_corpus(corpus("tested"), {"tested": fold.manifest}, [fold])
        assert of(clips, "tested") == sorted({"000", "001", "002", "003", "004"} - {absent})
        assert facts["held_out"] == [["tested", fold.fold]]
        assert facts["parts"][0]["excluded"] == {"test part": 1, "same file": 0, "same recording": 0, "same source": 0}


def test_unlabelled_clips_of_a_test_recording_are_left_out(tested):
    # Of no part of any fold, but cut from the recording that is tested on; the others are what corpora are made of.
    recordings = ["night", "dawn", "dusk", "night", "noon"]
    first, _ = tested(rows("tested", 5, recording=recordings), unlabelled=("003", "004"))
    clips, facts = list_corpus(corpus("tested"), {"tested": first.manifest}, [first])
    assert of(clips, "tested") == ["001", "002", "004"]
    assert facts["parts"][0]["excluded"] == {"test part": 1, "same file": 0, "same recording": 1, "same source": 0}


def test_recordings_of_one_name_at_two_sites_of_a_data_set_are_two(tested, caplog):
    first, _ = tested(rows("tested", 4, recording="0500", recorded_at=TIME, site=["S1", "S2", "S3", "S1"]))
    clips, _ = list_corpus(corpus("tested"), {"tested": first.manifest}, [first])
    assert of(clips, "tested") == ["001", "002"]
    assert "other sites" not in caplog.text


def test_test_clips_under_other_names_are_left_out_and_counted_once(tested, manifest):
    held_out = tested(rows("tested", 3, recorded_at=TIME))
    wild = rows("wild", 8)
    wild.loc[0, "sha256"] = "tested 000"
    wild.loc[1, "path"] = "tested/001.wav"
    wild.loc[2, ["recording", "recorded_at"]] = "tested 000", TIME
    wild.loc[3, ["recording", "recorded_at", "sha256"]] = "tested 000", TIME, "tested 000"
    wild.loc[4, ["recording", "recorded_at"]] = "tested 000", "2024-01-06T05:00:00"
    wild.loc[5, "recording"] = "tested 000"  # names such as 000 say nothing without a time
    wild.loc[6, "sha256"] = "tested 002"  # never tested on
    clips, facts = list_corpus(corpus("wild"), {"wild": manifest("wild", wild)}, held_out)
    assert of(clips, "wild") == ["004", "005", "006", "007"]
    assert facts["parts"][0]["excluded"] == {"test part": 0, "same file": 3, "same recording": 1, "same source": 0}
    assert facts["held_out"] == [["tested", 1], ["tested", 2]]


def test_only_test_clips_of_the_folds_given_count(tested, manifest):
    first, _ = tested(rows("tested", 3))
    wild = manifest("wild", rows("wild", 3, sha256=["tested 000", "tested 001", ""]))
    clips, _ = list_corpus(corpus("wild"), {"wild": wild}, [first])
    assert of(clips, "wild") == ["001", "002"]


@pytest.mark.parametrize(
    ("test_site", "sites", "kept"),
    [("S1", ["S1", "S2", ""], ["001"]), ("", ["S1", "S2", ""], [])],
    ids=["known", "unknown"],
)
def test_recordings_of_one_name_and_time_are_two_only_if_both_sites_are_known(
    tested, manifest, caplog, test_site, sites, kept
):
    recorder = {"recording": "0500", "recorded_at": TIME}
    held_out = tested(rows("tested", 2, **recorder, site=test_site))
    wild = rows("wild", 5, site=[*sites, "S1", "S1"])
    wild.loc[:2, list(recorder)] = list(recorder.values())
    clips, _ = list_corpus(corpus("wild"), {"wild": manifest("wild", wild)}, held_out)
    assert of(clips, "wild") == [*kept, "003", "004"]
    assert ("wild: 1 clips have name and time of test recordings" in caplog.text) is bool(kept)


def test_what_is_not_known_is_not_the_same(tested, manifest):
    unknown = {"recording": "0500", "recorded_at": "", "sha256": ""}
    held_out = tested(rows("tested", 2, **unknown))
    wild = rows("wild", 3)
    wild.loc[:1, list(unknown)] = list(unknown.values())
    clips, _ = list_corpus(corpus("wild"), {"wild": manifest("wild", wild)}, held_out)
    assert len(clips) == 3


def test_a_transductive_corpus_has_all_clips_and_says_so(tested):
    first, _ = tested(rows("tested", 3))
    clips, facts = list_corpus(corpus("tested", transductive=True), {"tested": first.manifest}, [])
    assert of(clips, "tested") == ["000", "001", "002"]
    assert facts["transductive"] is True
    assert facts["held_out"] == []


def test_folds_of_another_manifest_are_refused(tested, manifest):
    _, second = tested(rows("tested", 4))
    manifest("tested", rows("tested", 4).drop(index=1))
    with pytest.raises(AssertionError, match="different clips"):
        list_corpus(corpus("tested"), {"tested": second.manifest}, [second])


def test_figures_add_up(tested, manifest):
    (first, _), wild = tested(rows("tested", 4)), rows("wild", 40, duration_s=np.arange(40.0))
    wild.loc[:2, "sha256"] = "tested 000"
    both = Corpus(parts=[{"dataset": "wild", "weight": 0.5}, {"dataset": "tested"}], val=0.25)
    clips, facts = list_corpus(both, {"tested": first.manifest, "wild": manifest("wild", wild)}, [first])
    of_wild, of_tested = facts["parts"]
    assert (of_wild["dataset"], of_wild["weight"], of_tested["weight"]) == ("wild", 0.5, 1.0)
    assert of_wild["hours"] == pytest.approx(sum(range(3, 40)) / 3600, abs=1e-4)
    for part in facts["parts"]:
        mine = clips[clips["dataset"] == part["dataset"]]
        assert list(part["excluded"]) == list(REASONS)
        assert part["n_train"] == (mine["part"] == "train").sum()
        assert part["n_val"] == (mine["part"] == "val").sum()
        assert part["n_clips"] == len(mine) + sum(part["excluded"].values())
    assert clips[["dataset", "clip_id"]].to_numpy().tolist() == sorted(
        clips[["dataset", "clip_id"]].to_numpy().tolist()
    )


# --- mixtures ---------------------------------------------------------------------------------------------


def test_mixtures_of_what_is_left_out_are_left_out_and_counted(tested, manifest):
    """Of a test clip, of another clip of its recording, of a copy of it; and of a clip that is there no more."""
    single = rows("tested", 6, recording=["a", "b", "a", "c", "d", "e"])
    single.loc[3, "sha256"] = "tested 000"
    first, second = tested(single)
    of_sources = ["000", "004;001", "005;002", "003", "004;005", "004;lost", "001", "05"]
    mixed = manifest("mixed", rows("mixed", 8, source_clips=of_sources))
    manifests, sources = {"mixed": mixed, "tested": first.manifest}, {"mixed": "tested"}
    clips, facts = list_corpus(corpus("mixed"), manifests, [first], sources)
    assert of(clips, "mixed") == ["001", "004", "006"]
    assert facts["parts"][0]["excluded"] == {"test part": 0, "same file": 0, "same recording": 0, "same source": 5}
    assert of(list_corpus(corpus("mixed"), manifests, [second], sources)[0], "mixed") == ["000", "002", "003", "004"]


def test_sources_that_are_copies_of_test_clips_of_another_data_set_count(tested, manifest):
    first, _ = tested(rows("tested", 3))
    single = manifest("single", rows("single", 4, sha256=["tested 000", "b", "c", "d"]))
    mixed = manifest("mixed", rows("mixed", 3, source_clips=["001;000", "001;002", "002;003"]))
    manifests = {"mixed": mixed, "single": single}
    clips, facts = list_corpus(corpus("mixed"), manifests, [first], {"mixed": "single"})
    assert of(clips, "mixed") == ["001", "002"]
    assert facts["parts"][0]["excluded"]["same source"] == 1
    clips, _ = list_corpus(corpus("mixed", transductive=True), manifests, [], {"mixed": "single"})
    assert len(clips) == 3


def test_a_column_of_a_lab_s_own_of_this_name_means_nothing(tested, manifest):
    first, _ = tested(rows("tested", 3))
    wild = manifest("wild", rows("wild", 3, source_clips="000"))
    clips, _ = list_corpus(corpus("wild"), {"wild": wild}, [first])
    assert len(clips) == 3


# --- the part for validation ------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.lists(st.integers(1, 4), max_size=12), min_size=1, max_size=3).filter(
        lambda sizes: max(map(len, sizes)) > 1
    ),
    share=st.floats(0.01, 0.99),
)
def test_validation_has_whole_recordings_in_number(tmp_path_factory, sizes, share):
    folder = tmp_path_factory.mktemp("corpus")
    manifests, recordings = {}, {}
    for i, clips_of in enumerate(sizes):
        names = np.repeat([f"r{k}" for k in range(len(clips_of))], clips_of).tolist()
        manifests[f"d{i}"], recordings[f"d{i}"] = folder / f"d{i}.csv", names
        write_manifest(rows(f"d{i}", len(names), recording=names), manifests[f"d{i}"])
    clips, _ = list_corpus(corpus(*manifests, val=share), manifests, [])
    assert set(clips["part"]) == {"train", "val"}
    for dataset, names in recordings.items():
        parts = clips.loc[clips["dataset"] == dataset, "part"].groupby(np.array(names)).agg(set)
        assert all(len(part) == 1 for part in parts)
        n_val = sum(part == {"val"} for part in parts)
        assert n_val < len(parts) or not len(parts)
        assert abs(n_val - share * len(parts)) <= 1


def test_the_seed_draws_the_validation_part(manifest):
    wild = {"wild": manifest("wild", rows("wild", 100))}
    val = [joined_ids(list_corpus(corpus("wild", val=0.3, seed=seed), wild, [])[0], "val") for seed in (0, 0, 1)]
    assert val[0] == val[1] != val[2]
    assert [len(ids) for ids in val] == [30, 30, 30]


def test_recordings_stay_in_their_part_when_a_fold_is_left_out(tested):
    held_out = tested(rows("tested", 200))
    tables = [
        list_corpus(corpus("tested", val=0.2), {"tested": fold.manifest}, [fold])[0].set_index("clip_id")["part"]
        for fold in held_out
    ]
    first, second = (table.drop(["000", "001"], errors="ignore") for table in tables)
    assert (first != second).sum() <= 1


def test_the_order_of_rows_does_not_matter(manifest):
    clips = rows("wild", 50)
    forward = list_corpus(corpus("wild"), {"wild": manifest("wild", clips)}, [])
    backward = list_corpus(corpus("wild"), {"wild": manifest("wild", clips[::-1])}, [])
    assert forward[0].equals(backward[0])
    assert forward[1] == backward[1]


# --- what cannot be a corpus ------------------------------------------------------------------------------


def test_a_corpus_of_test_clips_alone_is_refused(tested, manifest):
    held_out = tested(rows("tested", 2))
    wild = manifest("wild", rows("wild", 3, sha256="tested 000"))
    with pytest.raises(InputError) as error:
        list_corpus(corpus("wild", "tested"), {"wild": wild, "tested": held_out[0].manifest}, held_out)
    for told in ("no clips left", "wild: 3 clips, left out: 3 (same file)", "tested: 2 clips", "transductive: true"):
        assert told in str(error.value)


def test_a_data_set_of_test_clips_alone_is_left_out_of_a_corpus(tested, manifest):
    held_out = tested(rows("tested", 2))
    wild = manifest("wild", rows("wild", 3))
    clips, facts = list_corpus(corpus("tested", "wild"), {"wild": wild, "tested": held_out[0].manifest}, held_out)
    assert set(clips["dataset"]) == {"wild"}
    assert [(part["n_train"], part["n_val"], part["hours"]) for part in facts["parts"]] == [(0, 0, 0), (2, 1, 0.03)]


def test_one_recording_cannot_be_held_out_of_itself(manifest):
    wild = manifest("wild", rows("wild", 3, recording="the only one"))
    with pytest.raises(InputError, match="two recordings"):
        list_corpus(corpus("wild"), {"wild": wild}, [])


# --- statistics -------------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_training_clips_of_all_data_sets(manifest, tmp_path):
    rng = np.random.default_rng(0)
    frames, manifests = {}, {}
    for dataset, mean in (("one", -9), ("two", 3)):  # clips have the same names in both
        manifests[dataset] = manifest(dataset, rows(dataset, 6))
        clips = {f"{i:03d}": rng.normal(mean, 2, (20 + i, 8)).astype(np.float16) for i in range(6)}
        write_store(tmp_path / dataset / "store", clips, shard_clips=4)
        frames |= {f"{dataset}:{clip_id}": values for clip_id, values in clips.items()}
    write_csv(list_corpus(corpus("one", "two", val=0.3), manifests, [])[0], tmp_path / "clips.csv")
    train = joined_ids(read_corpus(tmp_path / "clips.csv"), "train")
    stats = fit_norm(FeatureStore.joined({name: tmp_path / name / "store" for name in manifests}), train)
    values = np.concatenate([frames[clip_id] for clip_id in train]).astype(np.float64)
    assert len(train) == stats.n_clips == 8
    assert stats.n_frames == len(values)
    assert (stats.mean, stats.std) == (pytest.approx(values.mean()), pytest.approx(values.std()))
