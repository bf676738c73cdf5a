"""Other classes for a trained model: rows that stay are the same to the bit, and a training goes on with them."""

import argparse
import dataclasses
import json

import pytest
import torch

from small_prediction import CLASSES, CNN, SSAST, SSLAM, small_model
from small_training import CLASSES as TRAINED
from small_training import inputs, settings, train
from tymbal.commands import classes as command
from tymbal.errors import InputError
from tymbal.evaluate.thresholds import Threshold, read_thresholds, write_thresholds
from tymbal.models.build import load_model
from tymbal.models.heads import class_rows
from tymbal.reclass import Changes, change_classes

ABC = ["A", "B", "C"]


def load(folder):
    return load_model(folder / "model.safetensors", folder / "model.json")


@pytest.mark.parametrize("net", [SSAST, SSLAM], ids=["ssast", "sslam"])
def test_other_rows_stay_the_same_to_the_bit(tmp_path, net):
    folder, out = small_model(tmp_path / "model", net), tmp_path / "out"
    owl, cicada, rain = CLASSES
    changes = Changes(rename=[(rain, "Rain")], add=["Frog"])
    card = change_classes(folder, out, changes)
    assert card.classes == (owl, cicada, "Rain", "Frog")
    (before, _), (after, read) = load(folder), load(out)
    assert read == card
    old, new = before.state_dict(), after.state_dict()
    rows = class_rows(before)
    assert rows == ("head.1.weight", "head.1.bias")
    for name, value in old.items():
        assert torch.equal(new[name][:3] if name in rows else new[name], value), name
    assert new["head.1.weight"].shape[0] == 4 and new["head.1.weight"][3].any()  # drawn at random
    change_classes(folder, tmp_path / "again", changes)
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "again" / "model.safetensors").read_bytes()


def test_a_network_that_starts_from_scratch_can_be_renamed_alone(tmp_path):
    folder, out = small_model(tmp_path / "model", CNN), tmp_path / "out"
    change_classes(folder, out, Changes(rename=[("Owl", "Eule")]))
    assert (out / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert class_rows(load(folder)[0]) == ("head.4.weight", "head.4.bias")
    with pytest.raises(InputError, match="starts from scratch"):
        change_classes(folder, tmp_path / "more", Changes(add=["Frog"]))


def test_a_merged_class_starts_from_the_mean_of_its_parts(tmp_path):
    folder, out = small_model(tmp_path / "model"), tmp_path / "out"
    owl, cicada, rain = CLASSES
    assert change_classes(folder, out, Changes(merge=[((rain, owl), "Noise")])).classes == (cicada, "Noise")
    (before, _), (after, card) = load(folder), load(out)
    weight, merged = before.head[1].weight, after.head[1].weight
    assert torch.equal(merged[0], weight[1])
    torch.testing.assert_close(merged[1], (weight[0] + weight[2]) / 2)
    assert card.provenance["changed_from"]["classes"] == {cicada: [cicada], "Noise": [rain, owl]}
    # What the thresholds of a merged class would be is not known.
    assert sorted(path.name for path in out.iterdir()) == ["model.json", "model.safetensors"]


def test_new_names_alone_keep_thresholds_and_calibration(tmp_path):
    folder, out = small_model(tmp_path / "model"), tmp_path / "out"
    chosen = [Threshold(threshold=0.1 * i, n_pos=i) for i in (1, 2, 3)]
    write_thresholds(folder / "thresholds.json", dict(zip(CLASSES, chosen, strict=True)))
    owl, cicada, rain = CLASSES
    made = change_classes(folder, out, Changes(rename=[(owl, cicada), (cicada, owl)])).classes
    assert made == (cicada, owl, rain)
    assert list(read_thresholds(out / "thresholds.json", made).values()) == chosen
    assert (out / "calibration.json").read_bytes() == (folder / "calibration.json").read_bytes()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (Changes(), "nothing is to be changed"),
        (Changes(rename=[("A", "A")]), "nothing is to be changed"),
        (Changes(rename=[("X", "D")]), "'X': not one of the model's classes"),
        (Changes(rename=[("A", "D"), ("A", "E")]), "'A': to be changed more than once"),
        (Changes(rename=[("A", "B")]), "'B': would be there 2 times"),
        (Changes(add=["C"]), "'C': would be there 2 times"),
        (Changes(add=[""]), "a new name is blank"),
        (Changes(merge=[(("A",), "D")]), "'D': made of one class"),
        (Changes(merge=[(("A", "B"), "D")], rename=[("B", "E")]), "'B': to be changed more than once"),
        (Changes(merge=[(("A", "B", "C"), "D")]), "only one class is left"),
    ],
)
def test_changes_that_cannot_be_made_are_told(changes, expected):
    with pytest.raises(InputError) as caught:
        changes.planned(ABC)
    assert any(case.startswith(expected) for case in caught.value.cases)


def test_all_problems_are_told_at_once():
    with pytest.raises(InputError, match="3 problems") as caught:
        Changes(rename=[("X", "D"), ("Y", "E")], add=["C"]).planned(ABC)
    assert str(ABC) in caught.value.remedy


def test_the_command_tells_how_to_go_on(tmp_path, capsys):
    folder, out = small_model(tmp_path / "model"), tmp_path / "out"
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    command.run(parser.parse_args([str(folder), str(out), "--merge", "Owl+蟬 = Night", "--add", "Frog"]))
    printed = capsys.readouterr().out
    assert json.loads(printed.split("classes: ")[1].splitlines()[0]) == ["Night", CLASSES[2], "Frog"]
    assert f"init: {out}/model.safetensors" in printed and "keep_head: true" in printed
    with pytest.raises(InputError, match="OLD=NEW"):
        command.run(parser.parse_args([str(folder), str(tmp_path / "b"), "--rename", "Owl"]))


def test_a_changed_model_is_trained_further(tmp_path):
    data = inputs(tmp_path)
    first = train(data, tmp_path / "first")
    owl, _ = TRAINED
    renamed = tmp_path / "renamed"
    change_classes(tmp_path / "first", renamed, Changes(rename=[(owl, "Night bird")]))
    change_classes(renamed, tmp_path / "back", Changes(rename=[("Night bird", owl)]))
    start = tmp_path / "back" / "model.safetensors"
    slow = settings(optimizer={"lr": 1e-12}, epochs=1)
    kept = slow.model_copy(update={"init": str(start), "keep_head": True})
    again = train(dataclasses.replace(data, init=start), tmp_path / "again", kept)
    (before, _), (after, card) = load_model(first.model, first.card), load_model(again.model, again.card)
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value, rtol=0, atol=1e-6)
    assert json.loads(again.run.read_text())["init"]["fresh"] == []
    assert card.corpus["before"]["parts"] == [{"dataset": "field"}]

    fresh = slow.model_copy(update={"init": str(start)})
    other = train(dataclasses.replace(data, init=start), tmp_path / "other", fresh)
    head = load_model(other.model, other.card)[0].head[1].weight
    assert (head - before.head[1].weight).abs().max() > 1e-3  # a new head, as ever
    elsewhere = kept.model_copy(update={"init": str(renamed / "model.safetensors")})
    with pytest.raises(InputError, match="the model has 'Night bird', the data 'Owl'"):
        train(dataclasses.replace(data, init=renamed / "model.safetensors"), tmp_path / "wrong", elsewhere)
