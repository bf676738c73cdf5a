"""What docs/extending.md has one add does work: its blocks, put into a copy of the library, are trained and drawn."""

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from helpers import REPO

TEXT = (REPO / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = [
    (kind, *textwrap.dedent(block).split("\n", 1))
    for kind, block in re.findall(r"^ *```(python|diff)\n(.*?)^ *```", TEXT, flags=re.S | re.M)
]


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """A folder with the library as the page has it changed."""
    folder = tmp_path_factory.mktemp("extended")
    package = folder / "tymbal"
    shutil.copytree(REPO / "workflow/scripts/tymbal", package, ignore=shutil.ignore_patterns("__pycache__"))
    for kind, first, block in BLOCKS:
        path = package / first.removeprefix("# ")
        if kind == "python":
            assert not path.exists()
            path.write_text(block, encoding="utf-8")
        else:
            path.write_text(changed(path.read_text(encoding="utf-8"), block), encoding="utf-8")
    return folder


def changed(text: str, diff: str) -> str:
    """Lines with a minus are replaced by those with a plus, in the one place where all others are."""
    lines = [line for line in diff.split("\n") if line]
    before, after = ("\n".join(line[1:] for line in lines if line[0] in (" ", sign)) for sign in "-+")
    assert text.count(f"\n{before}\n") == 1, f"not found once: {before}"
    return text.replace(f"\n{before}\n", f"\n{after}\n")


def run(library: Path, script: str) -> dict:
    """What a script prints as JSON, run with the changed library and the helpers of the tests."""
    code = f"import sys; sys.path[:0] = [{str(library)!r}, {str(REPO / 'tests')!r}]\n" + textwrap.dedent(script)
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=library)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout.splitlines()[-1])


def test_the_network_is_trained_scored_and_probed(library, tmp_path):
    found = run(
        library,
        f"""
        import json
        from pathlib import Path
        import torch
        from small_training import CPU, RUN, inputs, score, settings, train
        from tymbal.config import Bootstrap, Evaluation
        from tymbal.models.build import build, load_model
        from tymbal.pretrain.probe import Inputs, Task, probe

        torch.set_num_threads(1)
        folder = Path({str(tmp_path)!r})
        data = inputs(folder)
        model = settings(net={{"arch": "patch-mlp", "patch": [8, 8], "n_frames": 16, "dim": 8}})
        made = train(data, folder / "run", model)
        scored = score(data, made, folder, Evaluation(bootstrap=Bootstrap(draws=5)))
        trained, card = load_model(made.model, made.card)
        fresh = [build(model.net, 32, 2, torch.Generator().manual_seed(0)) for _ in range(2)]
        same = all(torch.equal(a, b) for a, b in zip(*(each.parameters() for each in fresh), strict=True))
        task = Task(model.net, "fitted", "mean", "cut", 100, "any", False)
        probed = probe(Inputs(data.manifest, data.folds, data.store, data.norm, None), RUN, task, CPU)
        frozen = train(data, folder / "frozen", settings(net=model.net.model_dump(), freeze_encoder=True))
        record = json.loads(frozen.run.read_text())["parameters"]
        print(json.dumps({{
            "kind": type(trained).__name__,
            "arch": card.net["arch"],
            "n_clips": json.loads(scored.metrics.read_text())["n_clips"],
            "same": same,
            "layers": list(dict.fromkeys(probed["layer"])),
            "frozen": [record["total"], record["trained"]],
        }}))
        """,
    )
    head = 8 * 2 + 2
    total = 64 * 8 + 8 + 2 * (8 * 8 + 8) + head
    assert found == {
        "kind": "PatchMLP",
        "arch": "patch-mlp",
        "n_clips": 6,
        "same": True,
        "layers": ["0", "1", "2"],
        "frozen": [total, head],
    }


def test_what_the_network_cannot_do_is_told(library):
    """It has no loader, and no layers whose rates could differ."""
    found = run(
        library,
        """
        import json
        from helpers import REPO, merged_config
        from tymbal.config import load
        from tymbal.errors import InputError

        raw = merged_config(REPO / "config" / "config.yaml")
        model = raw["models"]["ssast-tiny"]
        model["net"] = {"arch": "patch-mlp", "patch": [16, 16], "n_frames": 592}
        try:
            load(raw)
        except InputError as error:
            print(json.dumps(error.cases))
        """,
    )
    of_arch = "a network of arch 'patch-mlp'"
    assert found == [
        "models.ssast-tiny.init: found 'resources/checkpoints/soundscapes-tiny.safetensors'; "
        f"{of_arch} starts from scratch",
        f"models.ssast-tiny.train.optimizer.layer_decay: without use, as {of_arch} has no layers to tell apart",
    ]


def test_an_encoder_of_the_page_tells_padding(library):
    found = run(
        library,
        """
        import json
        import torch
        from tymbal.config.models import PatchMlp
        from tymbal.models.build import build

        net = PatchMlp(arch="patch-mlp", patch=(4, 2), n_frames=6)
        model = build(net, 8, 3, torch.Generator())
        x = torch.zeros(1, 6, 8)
        x[0, 2:4, 4:] = 1.0  # second column, upper row: patch 3
        tokens = model.layers(x)
        alike = (tokens["2"] == tokens["2"][:, :1]).all(dim=2)[0].tolist()
        print(json.dumps({"sounding": model.sounding(torch.tensor([6, 3, 1])).tolist(), "alike": alike}))
        """,
    )
    assert found["sounding"] == [[True] * 6, [True] * 2 + [False] * 4, [True] * 2 + [False] * 4]
    assert found["alike"] == [True, True, True, False, True, True]


def test_the_figure_is_drawn(library, tmp_path):
    found = run(
        library,
        f"""
        import json
        from pathlib import Path
        import pandas as pd
        from fake_runs import EVALUATION, write_dataset, write_runs
        from tymbal.evaluate.summary import collect
        from tymbal.evaluate.tables import write_table
        from tymbal.report.figures import draw

        root = Path({str(tmp_path)!r})
        runs = write_runs(root, "field", "m", ["Owl", "Frog"])
        tables = collect(runs, {{"field": write_dataset(root / "field", ["Owl", "Frog"])}}, {{"m": "m"}}, EVALUATION)
        for name, table in tables.items():
            write_table(table, root / f"summary/{{name}}.csv")
        draw("run-minutes", root / "summary", {{"dataset": "field", "model": "m"}}, None, root / "figure.svg")
        print(json.dumps({{"rows": len(pd.read_csv(root / "figure.csv"))}}))
        """,
    )
    assert found == {"rows": 2}
    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_modules_and_names_in_the_text_exist():
    package = REPO / "workflow/scripts/tymbal"
    for path, name in re.findall(r"`([a-z_/]+\.py)(?:: (\w+))?`", TEXT):
        assert (package / path).is_file() or (path.startswith("tests/") and (REPO / path).is_file()), path
        assert not name or re.search(rf"^{name}\b", (package / path).read_text(encoding="utf-8"), flags=re.M), name
