"""Which file a name means, on whatever machine the name was written."""

import logging
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.errors import InputError
from tymbal.ingest.lookup import (
    ELSEWHERE,
    FEATURE_SUFFIXES,
    FOLDERS,
    NAME,
    PATH_MAP,
    SUFFIXES,
    AudioFiles,
    Found,
    key,
    list_files,
    read_names,
    write_names,
)
from tymbal.ingest.paths import PathMap, parts


def touch(folder: Path, *files: str) -> None:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def audio_files(*files: str, folder: str = "data:audio", path_map: dict[str, str] | None = None) -> AudioFiles:
    return AudioFiles(files, PathMap(path_map or {}, folder))


# --- listing ----------------------------------------------------------------------------------------------


def test_audio_at_any_depth_is_listed_and_the_rest_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "b.WAV", "a/c/d.flac", "a/e.m4a", "f.txt", "g.txt", "README", ".h.wav", ".hidden/i.wav", "j.pt")
    with caplog.at_level(logging.INFO):
        assert list_files(tmp_path, SUFFIXES) == ["a/c/d.flac", "b.WAV"]
    assert ".m4a: 1, .pt: 1, .txt: 2, no extension: 1" in caplog.text


def test_the_side_file_of_features_is_never_one_of_them(tmp_path: Path) -> None:
    touch(tmp_path, "a.pt", "b.wav", "dataset_config.pt", "deep/dataset_config.pt", "deep/c.PT")
    assert list_files(tmp_path, FEATURE_SUFFIXES) == ["a.pt", "deep/c.PT"]


def test_an_absent_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere cannot be listed \(No such file or directory\)\. Correct"):
        list_files(tmp_path / "nowhere", SUFFIXES)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_names_that_no_table_can_hold_are_refused(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xb3\xbe.wav", "wb"):  # noqa: PTH123 - a Path cannot be bytes
        pass
    touch(tmp_path, "two\nlines.wav")
    with pytest.raises(InputError, match=r"2 problems\n(.*\n)*  - '\\udcb3\\udcbe\.wav'"):
        list_files(tmp_path, SUFFIXES)


def test_names_are_written_and_read(tmp_path: Path) -> None:
    for names in ([], ["a b.wav", " c.wav", "蟬/d#.wav"]):
        write_names(names, tmp_path / "files.txt")
        assert read_names(tmp_path / "files.txt") == names


# --- parts of paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (r"D:\a\b.wav", ("d:", "a", "b.wav")),
        ("D:/a/b.wav", ("d:", "a", "b.wav")),
        ("d:\\a/b.wav", ("d:", "a", "b.wav")),
        ("/mnt/d/a/b.wav", ("/", "mnt", "d", "a", "b.wav")),
        (r"\\NAS\Share\a\b.wav", ("//", "nas", "Share", "a", "b.wav")),
        ("//nas/Share/a\\b.wav", ("//", "nas", "Share", "a", "b.wav")),
        ("a//b/./c.wav", ("a", "b", "c.wav")),
        (" ./c.wav ", ("c.wav",)),
        ("", ()),
    ],
)
def test_paths_of_any_system_have_the_same_parts(name: str, expected: tuple[str, ...]) -> None:
    assert parts(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A_1", ("A_1",)),
        (" A_1.WaV ", ("A_1",)),
        ("v1.2_A", ("v1.2_A",)),
        (r"D:\rec\A.WAV", ("d:", "rec", "A")),
        ("specs/A.pt", ("specs", "A")),
        (".wav", (".wav",)),
        ("A.txt", ("A.txt",)),
    ],
)
def test_only_extensions_of_audio_and_features_are_taken_off(name: str, expected: tuple[str, ...]) -> None:
    assert key(name) == expected


# --- by name ----------------------------------------------------------------------------------------------


def test_a_stem_is_enough_and_neither_extension_nor_a_foreign_folder_matters() -> None:
    audio = audio_files("x/A.flac", "B.WAV")
    assert [audio.find(name).files for name in ("A", "A.wav", r"E:\field\B.mp3", "C", "a", "")] == [
        ["x/A.flac"],
        ["x/A.flac"],
        ["B.WAV"],
        [],
        [],
        [],
    ]


def test_a_shared_stem_needs_its_folder() -> None:
    audio = audio_files("A.wav", "s1/A.wav", "s2/A.wav", "deep/s2/A.wav")
    every = ["A.wav", "s1/A.wav", "s2/A.wav", "deep/s2/A.wav"]
    assert audio.find("/remote/A") == Found(every, NAME)
    assert audio.find("/remote/s1/A.wav") == Found(["s1/A.wav"], FOLDERS)
    assert audio.find("s2/A.wav") == Found(["s2/A.wav"], FOLDERS)  # exactly this path, though another ends the same
    assert audio.find("/remote/s2/A.wav").files == ["s2/A.wav", "deep/s2/A.wav"]
    assert audio.find("s3/A.wav").files == every


def test_a_name_without_folders_may_mean_any_file_of_its_stem_unless_it_is_a_whole_path() -> None:
    audio = audio_files("A.wav", "s1/A.wav")
    assert audio.find("A").files == ["A.wav", "s1/A.wav"]
    assert audio.find("A.wav", whole=True) == Found(["A.wav"], FOLDERS)
    assert audio.find("s1/A.wav", whole=True).files == ["s1/A.wav"]
    assert audio_files("A.wav", "A.flac").find("A.wav", whole=True).files == ["A.wav", "A.flac"]


def test_two_extensions_are_ambiguous() -> None:
    assert audio_files("A.flac", "A.wav").find("A.wav").files == ["A.flac", "A.wav"]


def test_other_numbers_of_a_stem_are_not_tried() -> None:
    # A looser match (tokens stripped from the right until something fits) would give one segment another's labels.
    audio = audio_files("S1_20240105_053000_1.wav", "S1_20240105_053000.wav")
    assert audio.find("S1_20240105_053000_2").files == []
    assert audio.find("S1_20240105").files == []


def test_unicode_forms_are_equal_but_the_file_keeps_its_own() -> None:
    on_disk = unicodedata.normalize("NFD", "été.wav")
    assert audio_files(on_disk).find("été").files == [on_disk]


# --- path_map ---------------------------------------------------------------------------------------------

WRITTEN = {  # one file as four machines write it, and the prefix a user gives for it
    r"D:\field\2024\s2\A.wav": "D:/field",
    "d:/field/2024\\s2/A.wav": "D:\\field\\",
    "/mnt/d/field/2024/s2/A.wav": "/mnt/d/field/",
    r"\\NAS\field\2024\s2\A.wav": "//nas/field",
    "field/2024/s2/A.wav": "field",
}


@pytest.mark.parametrize(("name", "prefix"), WRITTEN.items())
@pytest.mark.parametrize(("folder", "target"), [("data:rec/2024", "rec"), ("bats:rec/2024", "bats:rec")])
def test_the_same_names_on_every_machine_by_path_map_alone(name: str, prefix: str, folder: str, target: str) -> None:
    audio = audio_files("s1/A.wav", "s2/A.wav", folder=folder, path_map={prefix: target})
    assert audio.find(name) == Found(["s2/A.wav"], PATH_MAP)


def test_path_map_decides_between_files_that_names_cannot_tell_apart() -> None:
    files = ("2023/s1/A.wav", "2024/s1/A.wav")
    assert audio_files(*files).find("/old/s1/A.wav").files == list(files)
    audio = audio_files(*files, path_map={"/old": "audio/2023", "/new": "audio/2024"})
    assert audio.find("/new/s1/A.pt") == Found(["2024/s1/A.wav"], PATH_MAP)


def test_the_longest_prefix_counts_and_only_whole_parts() -> None:
    path_map = {"/a": "audio/x", "/a/b": "audio/y"}
    audio = audio_files("x/A.wav", "y/A.wav", "x/bc/A.wav", path_map=path_map)
    assert audio.find("/a/b/A.wav").files == ["y/A.wav"]
    assert audio.find("/a/bc/A.wav").files == ["x/bc/A.wav"]
    assert audio.find("/a/A.wav").files == ["x/A.wav"]


@pytest.mark.parametrize("target", ["elsewhere/s1", "other:audio", "audio-old"])
def test_a_target_outside_the_audio_folder_leaves_it_to_the_name(target: str) -> None:
    audio = audio_files("s1/A.wav", path_map={"/a": target})
    assert audio.find("/a/s1/A.wav") == Found(["s1/A.wav"], FOLDERS)


def test_a_mapped_file_that_is_not_there_is_missing() -> None:
    audio = audio_files("moved/A.wav", path_map={"/a": "audio"})
    assert audio.find("/a/A.wav") == Found([], PATH_MAP, "moved/A.wav")
    assert audio.find("/a/B.wav").files == []


def test_the_file_of_another_folder_is_not_taken_unasked() -> None:
    """Recorders name files by the time alone: the same name at another site is another recording."""
    audio = audio_files("siteA/20240105_053000.wav", "loose.wav")
    assert audio.find("siteB/20240105_053000.wav") == Found([], NAME, "siteA/20240105_053000.wav")
    assert audio.find("D:/specs/20240105_053000.wav") == Found(["siteA/20240105_053000.wav"], ELSEWHERE)
    assert audio.find("any/loose.wav") == Found(["loose.wav"], NAME)


@pytest.mark.parametrize("links", [("latest",), ("latest", "current")])
def test_links_back_into_the_folder_are_not_followed_for_ever(tmp_path: Path, links: tuple[str, ...]) -> None:
    (tmp_path / "a.wav").touch()
    for link in links:
        (tmp_path / link).symlink_to(tmp_path)
    assert list_files(tmp_path, {".wav"}) == ["a.wav"]


def test_windows_paths_have_no_case_and_long_forms() -> None:
    audio = audio_files("S/A.wav", "T/A.wav", path_map={r"D:\Recordings": "audio"})
    assert audio.find(r"\\?\d:\recordings\S\A.wav") == Found(["S/A.wav"], PATH_MAP)


def test_a_prefix_given_twice_is_told() -> None:
    with pytest.raises(InputError, match=r"written differently: 1 problem\n  - D:/x and d:\\x"):
        PathMap({"D:/x": "a", "d:\\x\\": "b", "E:/x": "c"}, "audio")


names = st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=4), min_size=1, max_size=4)


@given(
    st.lists(names, max_size=8), names, st.sampled_from(["/", "\\"]), st.sampled_from(["", "X:/", "/mnt/x/", "//h/"])
)
@settings(deadline=None, max_examples=200)
def test_what_is_found_has_the_stem_and_what_is_there_is_found(
    tree: list[list[str]], wanted: list[str], separator: str, prefix: str
) -> None:
    files = sorted({"/".join(path) + ".wav" for path in [*tree, wanted]})
    path_map = {prefix: "audio"} if prefix else {}
    found = audio_files(*files, path_map=path_map).find(prefix + separator.join(wanted) + ".flac")
    own = key("/".join(wanted))
    assert {key(file)[-1] for file in found.files} == {own[-1]}
    assert "/".join(wanted) + ".wav" in found.files
    assert found.rule == (PATH_MAP if prefix else NAME if len(wanted) == 1 else FOLDERS)
    assert len(found.files) == 1 or (len(wanted) == 1 and not prefix)
