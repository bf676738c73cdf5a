"""Small copies of public sets of short clips, as their archives unpack: names, columns and folders as documented."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
import yaml

from helpers import REPO

ESC10 = (0, 1, 10, 11, 12, 20, 21, 38, 40, 41)  # targets
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
OTHERS = ("bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow")
WORDS_V1 = (*COMMANDS, *NUMBERS, *OTHERS)
WORDS_V2 = (*WORDS_V1, "backward", "forward", "follow", "learn", "visual")
NOISES = ("doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise")
SPEAKERS = {"train": "0a7c2a8d", "val": "1b4c9b89", "test": "f2e59fea"}
DIGIT_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def classes(recipe: str) -> list[str]:
    """Those of the recipe's data set, in the order of the set's own numbers: too many to be written twice."""
    text = (REPO / "config" / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["datasets"][recipe]["classes"]


def noise(path: Path, seconds: float = 0.1, rate: int = 16000, channels: int = 1) -> None:
    """A WAV file, 16 bit, of noise that no other path has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.as_posix().encode()))
    sf.write(path, rng.normal(scale=0.1, size=(round(seconds * rate), channels)), rate)


def lines(path: Path, written: Iterable[str]) -> None:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in written), encoding="utf-8")


def esc50(data: Path) -> None:
    """ESC-50: a clip of each class in each fold. Clip 209698 was put into folds 4 and 5, as in the original."""
    rows = []
    for fold in range(1, 6):
        for target, category in enumerate(classes("esc50")):
            source = 209698 if (fold, target) in {(4, 37), (5, 38)} else 100000 + 100 * target + fold
            name = f"{fold}-{source}-A-{target}.wav"
            rows.append(f"{name},{fold},{target},{category},{target in ESC10},{source},A")
            noise(data / "esc50" / "audio" / name, rate=44100)
    lines(data / "esc50" / "meta" / "esc50.csv", ["filename,fold,target,category,esc10,src_file,take", *rows])


def urbansound8k(data: Path) -> None:
    """UrbanSound8K: two slices of a recording of each class in each fold; rates and channels differ."""
    rows = []
    for fold in range(1, 11):
        for target, category in enumerate(classes("urbansound8k")):
            source = 100000 + 10 * fold + target
            for piece in range(2):
                name = f"{source}-{target}-0-{piece}.wav"
                rows.append(f"{name},{source},{piece * 0.5},{piece * 0.5 + 4},{1 + piece},{fold},{target},{category}")
                stereo = target % 2 == 0
                path = data / "urbansound8k" / "audio" / f"fold{fold}" / name
                noise(path, rate=44100 if stereo else 16000, channels=2 if stereo else 1)
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    lines(data / "urbansound8k" / "metadata" / "UrbanSound8K.csv", [header, *rows])


def _release(folder: Path, words: Sequence[str]) -> None:
    """A file of each word by each of three speakers, one a part, the lists and the noises."""
    for word in words:
        for speaker in SPEAKERS.values():
            noise(folder / word / f"{speaker}_nohash_0.wav")
    for part, name in (("val", "validation_list.txt"), ("test", "testing_list.txt")):
        lines(folder / name, [f"{word}/{SPEAKERS[part]}_nohash_0.wav" for word in words])
    for name in NOISES:
        noise(folder / "_background_noise_" / f"{name}.wav", seconds=2.3)
    lines(folder / "_background_noise_" / "README.md", ["about the noises"])


def speech_commands_v1(data: Path) -> None:
    """Speech Commands v0.01 and its test set, which has silence in files and names that end in `.wav.wav`."""
    folder = data / "speech-commands-v1"
    _release(folder / "speech_commands_v0.01", WORDS_V1)
    test_set = folder / "speech_commands_test_set_v0.01"
    for word in COMMANDS:
        noise(test_set / word / f"{SPEAKERS['test']}_nohash_0.wav")
    noise(test_set / "_unknown_" / f"{SPEAKERS['test']}_nohash_0.wav.wav")
    noise(test_set / "_silence_" / "0.wav", seconds=1)


def speech_commands_v2(data: Path) -> None:
    """Speech Commands v0.02."""
    _release(data / "speech-commands-v2", WORDS_V2)


def fsdd(data: Path) -> None:
    """FSDD: of each digit by each speaker five of the fifty recordings, two of them of the test part."""
    for digit in range(10):
        for speaker in DIGIT_SPEAKERS:
            for number in (0, 4, 5, 10, 49):
                noise(data / "fsdd" / "recordings" / f"{digit}_{speaker}_{number}.wav", rate=8000)


def fsd50k(data: Path) -> None:
    """FSD50K: in each part four clips, each with a quarter of the 200 classes."""
    names = classes("fsd50k")
    folder = data / "fsd50k"
    rows: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for p, (part, written) in enumerate(rows.items()):
        for quarter in range(4):
            clip = str(64760 + 10 * p + quarter)
            written.append(f'{clip},"{",".join(names[quarter::4])}","/m/02sgy"')
            noise(folder / f"FSD50K.{'eval' if part == 'test' else 'dev'}_audio" / f"{clip}.wav", rate=44100)
    truth = folder / "FSD50K.ground_truth"
    dev = [f"{row},{part}" for part in ("train", "val") for row in rows[part]]
    lines(truth / "dev.csv", ["fname,labels,mids,split", *dev])
    lines(truth / "eval.csv", ["fname,labels,mids", *rows["test"]])
    lines(truth / "vocabulary.csv", [f"{i},{name},/m/{i}" for i, name in enumerate(names)])


# By recipe: makes what its download would leave in the folder of the data.
COPIES: dict[str, Callable[[Path], None]] = {
    "esc50": esc50,
    "esc10": esc50,
    "urbansound8k": urbansound8k,
    "speech-commands-v1": speech_commands_v1,
    "speech-commands-v2": speech_commands_v2,
    "fsdd": fsdd,
    "fsd50k": fsd50k,
}
