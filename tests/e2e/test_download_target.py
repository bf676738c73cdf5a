"""`snakemake download` as typed, from a mirror on this machine; then the data are there for the rules."""

import hashlib
import json
import shutil
from pathlib import Path

import yaml

from layouts_clips import fsdd


def test_the_data_of_a_recipe_are_downloaded_when_asked_for_and_not_before(checkout, tmp_path):
    made, mirror = tmp_path / "made", tmp_path / "mirror"
    fsdd(made)
    (made / "fsdd").rename(made / "free-spoken-digit-dataset-1.0.10")
    mirror.mkdir()
    content = Path(shutil.make_archive(str(mirror / "v1.0.10"), "zip", made)).read_bytes()
    recipe = checkout.folder / "config" / "recipes" / "fsdd.yaml"
    settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    for dataset in settings["datasets"].values():
        dataset["download"][0] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    settings["experiments"] = [{"dataset": name, "model": "ssast-tiny-fsdd"} for name in settings["datasets"]]
    recipe.write_text(yaml.safe_dump(settings), encoding="utf-8")
    arguments = ("--configfile", "config/recipes/fsdd.yaml", "--config", "data_root=data", f"mirror={mirror}")

    # Without it, a sentence says what to do.
    before = checkout.run("snakemake", "-n", *arguments, ok=False)
    assert "Not there yet: fsdd, fsdd-speakers. To get what is not there, the same command with" in before

    said = checkout.run("snakemake", "--profile", "local", "download", *arguments)
    assert "fsdd: data/fsdd, " in said and ", verified" in said
    assert "fsdd-speakers: data/fsdd is there already" in said
    record = json.loads((checkout.folder / "results" / "fsdd" / "download.json").read_text(encoding="utf-8"))
    assert record["fsdd"][0]["verified"] == "sha256"
    assert checkout.plan(*arguments)["list_clips"] == 2
