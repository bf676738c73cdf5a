"""Labels like the users': recordings in which few classes are heard, common and rare ones, with soft weights."""

import numpy as np

N_CLASSES = 12
SHARES = (0.8, 0.1, 0.1)
COMMON_TO_RARE = 24.0  # how much likelier the first class is to be heard in a recording; gives 16:1 in tags
TAGS = (0.34, 0.36, 0.18, 0.08, 0.03, 0.01)  # of clips with one tag, two, ...: about 2 on average


def field_clips(seed: int, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Soft labels of clips in recordings: two to six classes are heard in one, and its clips have some of them.

    Args:
        seed: of everything.
        sizes: [G] clips of each recording.

    Returns:
        labels [N, C] (1.0 for one tag of a clip, 0.6 for others) and the recording of each clip [N].
    """
    rng = np.random.default_rng(seed)
    frequency = np.geomspace(COMMON_TO_RARE, 1, N_CLASSES)
    of_clip = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.zeros((len(of_clip), N_CLASSES))
    rows = iter(labels)
    for size in sizes:
        heard = rng.choice(N_CLASSES, size=rng.integers(2, 7), replace=False, p=frequency / frequency.sum())
        for _ in range(size):
            tags = rng.permutation(heard)[: rng.choice(len(TAGS), p=TAGS) + 1]
            clip = next(rows)
            clip[tags] = 0.6
            clip[tags[0]] = 1.0
    return labels, of_clip


def field_groups(seed: int, sizes: np.ndarray) -> np.ndarray:
    """The same by recording: [G, C + 1] sums of labels and numbers of clips, as `divide` takes it."""
    labels, of_clip = field_clips(seed, sizes)
    groups = np.zeros((len(sizes), N_CLASSES + 1))
    np.add.at(groups, of_clip, np.column_stack([labels, np.ones(len(labels))]))
    return groups


def furthest(groups: np.ndarray, part: np.ndarray) -> float:
    """Of all classes, the largest distance of their weight's share in val or test from 0.1.

    Args:
        groups: [G, C + 1] as `field_groups` gives it.
        part: [G] 0 for train, 1 for val, 2 for test.
    """
    shares = [groups[part == p, :-1].sum(axis=0) / groups[:, :-1].sum(axis=0) for p in (1, 2)]
    return float(np.abs(np.array(shares) - 0.1).max())
