"""Speech Commands (Warden 2018, arXiv 1804.03209): a folder a word, and lists of the files that validate and test."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tymbal.errors import InputError
from tymbal.ingest.layouts.entry import Entry, Told
from tymbal.ingest.text import read_text

LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
NOISE = "_background_noise_"
# Of the first release, as its two archives are unpacked.
RELEASE, TEST_SET = "speech_commands_v0.01", "speech_commands_test_set_v0.01"
VAL_NOISE = "running_tap"  # as TensorFlow Datasets has it: validation silence is of a noise of its own


def read_v2(folder: Path, files: Sequence[str]) -> Told:
    """Read the second release: words with the parts of its lists. Noise is no word and is left out.

    Args:
        folder: with a folder a word, and the lists.
        files: all audio files in it.

    Returns:
        One entry a file, labelled with its folder; what no list names trains. Files that a list names and that are not
        there come last.

    Raises:
        InputError: files outside a word's folder, or lists that are not as expected.
    """
    entries = _release(folder, "", files)
    words = [entry for entry in entries if entry.labels != (NOISE,)]
    return Told(words, {"background noises, left out": len(entries) - len(words)}, [])


def read_v1(folder: Path, files: Sequence[str]) -> Told:
    """Read the first release as SUPERB's keyword spotting takes it (Yang et al., Interspeech 2021).

    Training and validation are words and noises of the release, without the files of its testing list; the test part is
    all of the separate test set. Noises are whole files: `running_tap` validates, the others train.

    Args:
        folder: with the folders of both archives.
        files: all audio files in it.

    Returns:
        As `read_v2`; noises have the label `_background_noise_`, the test set's own silence `_silence_`.

    Raises:
        InputError: as `read_v2`, or no file of the test set.
    """
    of_test_set = [file for file in files if file.startswith(f"{TEST_SET}/")]
    if not of_test_set:
        raise InputError(
            f"{folder / TEST_SET} holds no audio. The test part of Speech Commands v1 is an archive of its own, "
            f"{TEST_SET}.tar.gz: unpack it there."
        )
    others = [file for file in files if not file.startswith(f"{TEST_SET}/")]
    entries = _release(folder, f"{RELEASE}/", others)
    kept = [entry for entry in entries if entry.fold != "test"]
    _check_folders(folder, f"{TEST_SET}/", of_test_set)
    tested = [_entry(file, "test") for file in of_test_set]
    return Told(kept + tested, {f"files of {LISTS['test']}, left out": len(entries) - len(kept)}, [])


def _release(folder: Path, above: str, files: Sequence[str]) -> list[Entry]:
    """Words and noises of one release, which lies in the folder `above` of `folder`."""
    _check_folders(folder, above, files)
    parts = _listed(folder / above)
    validates = f"{above}{NOISE}/{VAL_NOISE}.wav"
    entries = [
        _entry(file, *parts.get(file.removeprefix(above), ("val" if file == validates else "train",))) for file in files
    ]
    known = set(files)
    return entries + [_entry(above + file, *told) for file, told in parts.items() if above + file not in known]


def _entry(file: str, part: str, where: str = "") -> Entry:
    path = PurePosixPath(file)
    speaker, nohash, _ = path.stem.partition("_nohash_")
    utterance = f"{path.parent.name}/{path.stem}"
    return Entry(
        file,
        where or f"folder {path.parent.name!r}",
        (path.parent.name,),
        fold=part,
        recording=utterance,
        columns={"speaker": speaker if nohash else utterance},  # noise and silence: a group for itself
    )


def _check_folders(folder: Path, above: str, files: Sequence[str]) -> None:
    """Every file is `above`, a folder and a name."""
    wrong = [
        file for file in files if not file.startswith(above) or len(PurePosixPath(file.removeprefix(above)).parts) != 2
    ]
    if wrong:
        remedy = f"expected {above}WORD/FILE.wav: let `source.audio` be the folder that the archive was unpacked into"
        raise InputError.listing(f"{folder}: audio files outside the layout of Speech Commands", wrong, remedy)


def _listed(folder: Path) -> dict[str, tuple[str, str]]:
    """File -> its part and where that is told."""
    found: dict[str, tuple[str, str]] = {}
    problems = []
    for part, name in LISTS.items():
        lines, _ = read_text(folder / name, str.splitlines)
        for i, line in enumerate(lines, 1):
            file, where = line.strip(), f"{name} row {i}"
            if not file:
                continue
            if len(PurePosixPath(file).parts) != 2:
                problems.append(f"{where}: {line!r}, expected WORD/FILE.wav")
            elif file in found:
                problems.append(f"{where}: {file} is in {found[file][1]} too")
            else:
                found[file] = part, where
    if problems:
        raise InputError.listing(f"{folder}: lists of files", problems, "unpack the archive again")
    return found
