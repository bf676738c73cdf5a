"""Other classes for a trained model: names changed, classes put together, classes added; what it learnt of the others
stays as it is.
"""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tymbal.errors import InputError
from tymbal.evaluate.thresholds import read_thresholds, write_thresholds
from tymbal.files import new_folder, sha256
from tymbal.models.build import build, load_model
from tymbal.models.card import ModelCard, read_model_card
from tymbal.models.heads import class_rows
from tymbal.models.sources import LOADERS
from tymbal.models.weights import save_weights
from tymbal.runs import CALIBRATION, CARD, THRESHOLDS, WEIGHTS
from tymbal.seeds import derive


@dataclasses.dataclass(frozen=True)
class Changes:
    """What becomes of a model's classes; all names on the left are those of the model."""

    rename: Sequence[tuple[str, str]] = ()  # old name, new name
    merge: Sequence[tuple[tuple[str, ...], str]] = ()  # two or more old names, new name
    add: Sequence[str] = ()

    def planned(self, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The classes afterwards, in their order, and which of the old each is made of: one, several, or none.

        A renamed class keeps its place, a merged one has that of its first part, added ones come last.

        Args:
            classes: of the model.

        Raises:
            InputError: nothing changes, a class is not there, is changed twice, or a new name is taken or blank.
        """
        used = [old for old, _ in self.rename] + [part for parts, _ in self.merge for part in parts]
        problems = [f"{name!r}: not one of the model's classes" for name in dict.fromkeys(used) if name not in classes]
        problems += [f"{name!r}: to be changed more than once" for name, n in Counter(used).items() if n > 1]
        problems += [f"{name!r}: made of one class; two or more are merged" for p, name in self.merge if len(p) < 2]
        renamed = dict(self.rename)
        merged = {part: (name, parts) for parts, name in self.merge for part in parts}
        made = []
        for old in classes:
            name, parts = merged.get(old, (renamed.get(old, old), (old,)))
            if old == parts[0]:
                made.append((name, parts))
        made += [(name, ()) for name in self.add]
        names = Counter(name for name, _ in made)
        problems += [f"{name!r}: would be there {n} times" for name, n in names.items() if n > 1]
        if "" in names:
            problems.append("a new name is blank")
        if len(names) < 2:
            problems.append("only one class is left; a model needs two or more")
        if not problems and all(parts == (name,) for name, parts in made):
            problems.append("nothing is to be changed: give --rename, --merge or --add")
        if problems:
            raise InputError.listing("changes of classes", problems, f"correct them; classes: {list(classes)}")
        return dict(made)


def change_classes(folder: Path, out: Path, changes: Changes) -> ModelCard:
    """Write a model with other classes.

    The rows of the head of all classes that are not merged or added stay the same to the bit. A merged class starts
    from the mean of its parts' rows, an added one from random numbers, as in any training; both are to be trained, with
    `init` and `keep_head`. Only where classes are merely renamed the thresholds and the calibration hold on and are
    written, too.

    Args:
        folder: of the model: `model.safetensors` and `model.json`.
        out: folder to write, which must not be there.
        changes: of its classes.

    Returns:
        The card of the changed model.

    Raises:
        InputError: the model's files are missing or damaged, the changes contradict each other or ask for a training
            that starts from weights, which the network cannot, or `out` is there.
    """
    weights, card_path = folder / WEIGHTS, folder / CARD
    model, card = load_model(weights, card_path)
    _, net = read_model_card(card_path)
    made = changes.planned(card.classes)
    renamed = all(len(parts) == 1 for parts in made.values())
    if not renamed and net.arch not in LOADERS:
        raise InputError(
            f"{folder}: classes that are merged or added must be trained, but a network of arch {net.arch!r} always "
            "starts from scratch. Train it with the new classes instead."
        )
    changed = build(net, card.n_mels, len(made), torch.Generator().manual_seed(derive(0, "init")))
    old, new = model.state_dict(), changed.state_dict()
    rows = class_rows(model)
    for name in rows:
        for i, parts in enumerate(made.values()):
            own = old[name][[card.classes.index(part) for part in parts]]
            if parts:
                new[name][i] = own[0] if len(parts) == 1 else own.mean(dim=0)
    changed.load_state_dict(old | {name: new[name] for name in rows})
    told = {"model_sha256": sha256(weights), "classes": {name: list(parts) for name, parts in made.items()}}
    card = dataclasses.replace(card, classes=tuple(made), provenance={**card.provenance, "changed_from": told})
    with new_folder(out) as partial:
        save_weights(partial / weights.name, partial / card_path.name, changed, card)
        if renamed:
            _keep_choices(folder, partial, made)
    return card


def _keep_choices(folder: Path, out: Path, made: Mapping[str, Sequence[str]]) -> None:
    """Thresholds, by the new names, and calibration, where the model has them."""
    thresholds, calibration = folder / THRESHOLDS, folder / CALIBRATION
    if thresholds.exists():
        chosen = read_thresholds(thresholds, [old for (old,) in made.values()])
        write_thresholds(out / thresholds.name, {new: chosen[old] for new, (old,) in made.items()})
    if calibration.exists():
        shutil.copyfile(calibration, out / calibration.name)
