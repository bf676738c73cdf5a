"""Free Spoken Digit Dataset (doi 10.5281/zenodo.1342401): names of files tell digit, speaker and number."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tymbal.errors import InputError
from tymbal.ingest.layouts.entry import Entry

NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<number>\d+)")
N_TEST = 5  # recordings of each digit by each speaker, the first: the data set's own test part


def read(folder: Path, files: Sequence[str]) -> list[Entry]:
    """Read `recordings/{digit}_{speaker}_{number}.wav`: numbers 0 to 4 test, all others train.

    Args:
        folder: of the data set.
        files: all audio files in it.

    Returns:
        One entry a file, labelled with its digit; a file is a recording of its own.

    Raises:
        InputError: names of another form.
    """
    named = {file: NAME.fullmatch(PurePosixPath(file).stem) for file in files}
    if wrong := [file for file, match in named.items() if match is None]:
        remedy = "expected DIGIT_SPEAKER_NUMBER.wav, such as 7_jackson_32.wav; move other files elsewhere"
        raise InputError.listing(f"{folder}: names of files that are not FSDD's", wrong, remedy)
    return [
        Entry(
            file,
            f"name of {file}",
            (match["digit"],),
            fold="test" if int(match["number"]) < N_TEST else "train",
            recording=match[0],
            columns={"speaker": match["speaker"]},
        )
        for file, match in named.items()
        if match is not None
    ]
