"""Small copies of public sets of soundscapes, as their archives unpack or their pages ask for."""

from collections.abc import Callable, Mapping
from pathlib import Path

from layouts_clips import classes, lines, noise

_FROGS = (
    "SPHSUR BOABIS DENMIN PHYALB BOAALB BOAFAB PHYCUV LEPLAT LEPPOD PITAZU DENNAN SCIPER SCIFUV BOALUN PHYDIS BOAALM "
    "PHYSAU BOARAN BOALEP ELABIC LEPFUS BOAPRA LEPNOT LEPLAB DENCRU ELAMAT DENNAH PHYMAR RHIICT ADEMAR PHYNAT ADEDIP "
    "DENELE SCIALT SCIRIZ AMEPIC LEPELE LEPFLA RHIORN RHISCI SCIFUS SCINAS"
)
FROGS = _FROGS.split()
URBAN = classes("urbansound8k")
SCENES = {
    "market": "music dog bus_idling wind talk horn motorcycle_moving motorcycle_idling truck_moving alarm truck_idling "
    "air_conditioner steps siren car_idling shouting airborne crowd bird rain bus_moving car_moving",
    "park": "music dog bus_idling wind talk horn motorcycle_moving motorcycle_idling truck_moving truck_idling steps "
    "siren car_idling shouting airborne crowd bird rain bus_moving car_moving bells water fireworks",
    "square": "music dog bus_idling bells wind talk horn drilling motorcycle_moving motorcycle_idling cutting braking "
    "truck_moving alarm truck_idling water steps siren impact car_idling shouting airborne crowd bird rain bus_moving "
    "car_moving",
    "street": "crowd steps horn airborne bus_idling bus_moving car_idling talk truck_idling truck_moving wind cutting "
    "motorcycle_moving alarm siren car_moving dog drilling impact air_conditioner rain shouting explosives braking "
    "music motorcycle_idling bird",
    "waterfront": "siren cutting truck_idling car_idling fireworks talk drilling rain airborne steps music river alarm "
    "dog Vwater car_moving wind crowd motorcycle_idling impact braking bird motorcycle_moving waves bus_moving "
    "bus_idling horn shouting truck_moving",
}
_HOME = (
    "Alarm_bell_ringing Blender Cat Dishes Dog Electric_shaver_toothbrush Frying Running_water Speech Vacuum_cleaner"
)
HOME = _HOME.split()
AUDIOSET = {"/m/09x0r": "Speech", "/m/0ytgt": "Child speech, kid speaking", "/m/04rlf": "Music"}


def urban_sed(data: Path) -> None:
    """URBAN-SED: five soundscapes a part, each with two classes; one of 10 s with an event that ends 2e-15 s later."""
    folder = data / "urban-sed"
    for part in ("train", "validate", "test"):
        for k in range(5):
            name = f"soundscape_{part}_uniform{k}"
            events = [f"0.01\t0.05\t{URBAN[2 * k]}", f"0.03\t0.0900000000000002\t{URBAN[2 * k + 1]}"]
            if (part, k) == ("train", 0):
                events.append("9.164048\t10.000000000000002\tdog_bark")
            lines(folder / "annotations" / part / f"{name}.txt", events)
            lines(folder / "annotations" / part / f"{name}.jams", ["{}"])
            noise(folder / "audio" / part / f"{name}.wav", seconds=10 if len(events) == 3 else 0.1, rate=8000)


def anuraset(data: Path) -> None:
    """AnuraSet: eight training recordings and four to test, two overlapping clips of each, the last without a frog.

    Two species are heard in the test part alone. One recording has a further part in its name.
    """
    folder = data / "anuraset"
    rows = []
    for k in range(12):
        part, site = ("train", "INCT20955") if k < 8 else ("test", "INCT4")
        heard = [name for i, name in enumerate(FROGS) if (i % 7 == k if part == "train" else i % 3 == k - 8)]
        heard = [name for name in heard if part == "test" or name not in ("SCIFUS", "SCINAS")]
        recording = f"{site}_201911{10 + k}_041500" + ("_000" if k == 3 else "")
        for start in (0, 1):
            name = f"{recording}_{start}_{start + 3}.wav"
            told = ",".join(str(int(frog in heard)) for frog in FROGS)
            rows.append(
                f"{site}/{name},{recording},{start},{start + 3},{site},201911{10 + k},{len(heard)},{part},{told}"
            )
            noise(folder / "audio" / site / name, rate=22050)
    header = f"sample_name,fname,min_t,max_t,site,date,species_number,subset,{','.join(FROGS)}"
    lines(folder / "metadata.csv", [header, *rows])


def spass(data: Path) -> None:
    """SPASS: sixteen soundscapes a scene, out of order in the table, with columns that SSLAM's script does not read."""
    for number, (scene, told) in enumerate(SCENES.items(), 1):
        title, classes = scene.title(), told.split()
        rows = []
        for k in reversed(range(16)):
            name = f"{scene}{k + 1:05}.wav"
            rows += [f"{name},{i},{label}" for i, label in enumerate([*classes[k % 4 :: 4], classes[k % 4]])]
            noise(data / "spass" / f"{title} audio files" / name, rate=44100)
        lines(data / "spass" / f"{number}_MatrixLabels{title}.csv", ["audio_filename,position,class", *rows])


def idmt_desed_fl(data: Path) -> None:
    """The table that the page of DESED-FL asks for, and audio beside it."""
    folder = data / "idmt-desed-fl"
    rows = []
    for k in range(15):
        part = "train" if k < 10 else "test"
        rows += [f"scape_{k}.wav,{label},{part}" for label in HOME[k % 5 :: 5]]
        noise(folder / "audio" / f"scape_{k}.wav")
    lines(folder / "labels.csv", ["file,label,part", *rows])


# Of a table: how many segments it tells of, and how many of them have a clip.
SEGMENTS = {"balanced_train": (10, 9), "eval": (6, 4), "unbalanced_train": (12, 12)}


def audioset(data: Path) -> None:
    """AudioSet's tables, and clips named as each of three programs does; some are not there."""
    folder = data / "audioset"
    for table, (n, n_there) in SEGMENTS.items():
        rows = []
        for k in range(n):
            video, start = f"-{table[:3]}_{k:02}aaa_", f"{10 * k}.000"
            labels = [mid for i, mid in enumerate(AUDIOSET) if i != k % 3]
            rows.append(f'{video}, {start}, {10 * k + 10}.000, "{",".join(labels)}"')
            if k < n_there:
                noise(folder / table / (f"{video}.flac", f"Y{video}.wav", f"{video}_{start}.flac")[k % 3])
        head = ["# Segments csv created Sun Mar  5 10:54:31 2017", f"# num_ytids={n}, num_segs={n}"]
        head.append("# YTID, start_seconds, end_seconds, positive_labels")
        lines(folder / "labels" / f"{table}_segments.csv", [*head, *rows])
    classes = [f'{i},{mid},"{name}"' for i, (mid, name) in enumerate(AUDIOSET.items())]
    lines(folder / "labels" / "class_labels_indices.csv", ["index,mid,display_name", *classes])


# Folder -> how many recordings it has two segments of.
BIRDS: Mapping[str, int] = {
    "Turdus merula_Eurasian Blackbird": 6,
    "Parus major_Great Tit": 6,
    "Turdus merula_Eurasian Blackbird,Parus major_Great Tit": 3,
    "Strix aluco_Tawny Owl": 6,
    "Rana temporaria_Common Frog": 6,
    "Noise": 4,
    "background": 2,
}


def birdnet_folders(data: Path) -> None:
    """Folders of recordings' segments, as BirdNET-Analyzer cuts and names them and as xeno-canto does."""
    for f, (place, n) in enumerate(BIRDS.items()):
        for k in range(n):
            recording = f"SITE{f}_202401{k + 10}_053000" if k % 2 else f"XC{1000 + 10 * f + k} - a bird"
            for piece in (1, 2):
                name = f"0.9{k}2_{piece}_{recording}_{3 * piece}.0s_{3 * piece + 3}.0s.wav"
                noise(data / "collection" / place / name, rate=48000)


# By recipe: makes what its page says is in the folder of the data.
COPIES: dict[str, Callable[[Path], None]] = {
    "urban-sed": urban_sed,
    "anuraset": anuraset,
    "spass": spass,
    "idmt-desed-fl": idmt_desed_fl,
    "audioset-20k": audioset,
    "audioset-2m": audioset,
    "birdnet-folders": birdnet_folders,
}
