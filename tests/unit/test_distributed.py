"""Several processes train as one does: two of them over gloo on the CPU, then started as a job's script starts them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from helpers import REPO, merged_config, write_store
from tymbal.config.models import Model
from tymbal.config.pretrain import Pretraining
from tymbal.devices import choose_device
from tymbal.errors import InputError
from tymbal.files import write_json
from tymbal.fit_norm import fit_norm
from tymbal.ingest.manifest import LABEL, write_manifest
from tymbal.launch import CONTAINER, Layout, image_of, layout, start
from tymbal.models import sslam
from tymbal.models.ssast import SIZES, Size
from tymbal.pretrain import pretrain as pretraining
from tymbal.runs import PretrainRun, Run
from tymbal.store import FeatureStore
from tymbal.train import finetune as finetuning
from tymbal.train.distributed import process_group

CPU = torch.device("cpu")
N_TRAIN, N_VAL = 11, 6  # in batches of 5: one process has more clips of each, and of the last the other has none
N_MELS, N_FRAMES = 32, 16
NET = {"arch": "ssast", "patch": (32, 8), "n_frames": N_FRAMES}
SMALL = Size(16, 2, 2, 2), sslam.Size(16, 2, 2, 2, 3)
ALL_ON = {"freq_mask": 8, "time_mask": 4, "mixup": 0.5, "noise": True, "roll": 2}
FINETUNE = {
    "mixup, accumulated": {"augment": ALL_ON, "accumulate": 2, "clip_norm": 0.1},
    "no mixup": {"augment": {**ALL_ON, "mixup": 0}, "loss": "ce", "sampling": "balanced", "select_by": "loss"},
    "frozen": {"freeze_encoder": True, "early_stopping": 1},
    "recipe": {"preset": "sslam-spass", "augment": {"freq_mask": 8, "time_mask": 4}, "epoch_clips": 8},
}
PRETRAIN = {
    "joint": ({"masking": {"n_masked": 4}}, {"accumulate": 2, "preset": "modern"}),
    "released": ({"passes": 2, "contrast": "predictions", "masking": {"sampling": "original"}}, {}),
    "generative": ({"objective": "generative"}, {"activation_checkpointing": True}),
    "stage 1": ({"stage": 1, "clones": 3}, {"accumulate": 2, "clip_norm": 1}),
    "stage 2": ({"stage": 2, "clones": 2, "weights": {"global_retention": 1}}, {}),
}


def make_data(folder: Path) -> None:
    """Clips of 8 to 19 frames, so that most are padded, of two classes; manifest, folds, corpus and statistics."""
    rng = np.random.default_rng(0)
    ids = [f"clip{i:02d}" for i in range(N_TRAIN + N_VAL)]
    features = {name: rng.normal(-8 + 3 * (i % 2), 1, (rng.integers(8, 20), N_MELS)) for i, name in enumerate(ids)}
    write_store(folder / "fbank", features)
    fixed = {"root": "data", "site": "S1", "fold": "", "start_s": 0.0, "duration_s": 1.0, "channels": 1}
    rows = [
        {"clip_id": name, "path": f"{name}.wav", "recording": name, "sha256": name, "sample_rate": 16000, **fixed}
        | {f"{LABEL}Owl": float(i % 2), f"{LABEL}Frog": float((i + 1) % 2)}
        for i, name in enumerate(ids)
    ]
    write_manifest(pd.DataFrame(rows), folder / "manifest.csv")
    part = np.repeat(["train", "val"], [N_TRAIN, N_VAL])
    pd.DataFrame({"fold": 1, "clip_id": ids, "part": part, "subset": 1}).to_csv(folder / "folds.csv", index=False)
    fit_norm(FeatureStore(folder / "fbank"), ids[:N_TRAIN]).write(folder / "norm.json")
    pd.DataFrame({"dataset": "field", "clip_id": ids, "part": part}).to_csv(folder / "clips.csv", index=False)
    write_json(folder / "corpus.json", {"parts": [{"dataset": "field", "weight": 1.0}]})
    joined = FeatureStore.joined({"field": folder / "fbank"})
    fit_norm(joined, [f"field:{name}" for name in ids[:N_TRAIN]]).write(folder / "corpus_norm.json")


def finetune(folder: Path, made: Path, name: str) -> None:
    options = {"loss": "bce", "epochs": 3, "batch_size": 5, "optimizer": {"lr": 0.001}, "schedule": {"name": "cosine"}}
    net = {**NET, "stride": NET["patch"]}
    model = Model(frontend="fbank32", long_clips="cut", net=net, train={**options, **FINETUNE[name]})
    files = (folder / "manifest.csv", folder / "folds.csv", folder / "fbank", folder / "norm.json", None)
    names = ("model.safetensors", "model.json", "history.csv", "run.json", "checkpoints")
    outputs = finetuning.Outputs(*(made / each for each in names))
    finetuning.finetune(finetuning.Inputs(*files), outputs, Run("field", "m", 1, 0), model, "any", True, "code", CPU)


def pretrain(folder: Path, made: Path, name: str) -> None:
    pretext, train = PRETRAIN[name]
    options = {"epochs": 3, "batch_size": 5, "schedule": {"name": "cosine", "warmup_steps": 2}, **train}
    if "stage" in pretext:
        pretext = {**pretext, "teacher": {"start": 0.9, "end": 0.99, "steps": 4}}
    net = {**NET, "patch": (8, 4), "arch": "sslam" if "stage" in pretext else "ssast", "size": "tiny"}
    settings = Pretraining(frontend="fbank32", corpus="c", net=net, pretext=pretext, train=options)
    norm, stores = folder / "corpus_norm.json", {"field": folder / "fbank"}
    inputs = pretraining.Inputs(folder / "clips.csv", folder / "corpus.json", stores, norm, None)
    names = ("model.safetensors", "model.json", "history.csv", "run.json", "checkpoints", "tensorboard")
    outputs = pretraining.Outputs(*(made / each for each in names))
    pretraining.pretrain(inputs, outputs, PretrainRun("c", "m", 0), settings, "code", CPU)


TIMES = ["clips_per_s", "seconds"]
CASES = {f"finetune {name}": (finetune, name) for name in FINETUNE}
CASES |= {f"pretrain {name}": (pretrain, name) for name in PRETRAIN}
CUT = {
    f"{name}, continued": CASES[name] for name in ("finetune mixup, accumulated", "pretrain joint", "pretrain stage 2")
}


def train_all(folder: Path, made: Path, cases: dict) -> None:
    for name, (train, options) in cases.items():
        train(folder, made / name, options)


def in_one_of_two(rank: int, port: int, folder: Path) -> None:
    """A process as the launcher starts it."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    places |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({name: str(value) for name, value in places.items()})
    SIZES["tiny"], sslam.SIZES["tiny"] = SMALL
    with process_group(CPU):
        train_all(folder, folder / "two", {**CASES, **CUT})


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders `one` and `two`, of as many processes; in the second some trainings were begun by a single process."""
    folder = tmp_path_factory.mktemp("distributed")
    make_data(folder)
    with pytest.MonkeyPatch.context() as patch:
        for sizes, small in zip((SIZES, sslam.SIZES), SMALL, strict=True):
            patch.setitem(sizes, "tiny", small)  # the published size is heavier than needed
        train_all(folder, folder / "one", CASES)
        for name, (train, options) in CUT.items():
            shutil.copytree(folder / "one" / name.removesuffix(", continued"), folder / "one" / name)
            begin(patch, train, folder, folder / "two" / name, options)
    torch.multiprocessing.spawn(in_one_of_two, (free_port(), folder), nprocs=2)
    return folder


def begin(patch, train, folder: Path, made: Path, options: str) -> None:
    """The first round of a training, which then is stopped."""
    module = {finetune: finetuning, pretrain: pretraining}[train]
    with patch.context() as stopping, pytest.raises(InterruptedError):

        def save(self, state, *given):
            if state.round == 2:
                raise InterruptedError
            return kept(self, state, *given)

        kept = module.Checkpoints.save
        stopping.setattr(module.Checkpoints, "save", save)
        train(folder, made, options)
    with safe_open(made / "checkpoints" / "last.safetensors", "pt") as file:
        history = json.loads(file.metadata()["tymbal"])["history"]
    pd.DataFrame(history)[TIMES].to_csv(made / "begun.csv", index=False)


@pytest.mark.parametrize("name", [*CASES, *CUT])
def test_two_processes_learn_what_one_learns(trained, name):
    """Sums are in another order, so that the last digits differ."""
    one, two = (pd.read_csv(trained / folder / name / "history.csv") for folder in ("one", "two"))
    assert len(one) > 1
    pd.testing.assert_frame_equal(two.drop(columns=TIMES), one.drop(columns=TIMES), rtol=1e-5)
    weights, expected = (load_file(trained / folder / name / "model.safetensors") for folder in ("two", "one"))
    for key, value in expected.items():
        # Where gradients are zero but for rounding (the keys' bias, of `predictions` the last layer's), Adam's are not.
        idle = key.endswith("qkv.bias") or key.startswith("cpredlayer")
        torch.testing.assert_close(weights[key], value, rtol=1e-5, atol=1e-3 if idle else 1e-6)


@pytest.mark.parametrize("name", CUT)
def test_several_processes_continue_what_one_began(trained, name):
    begun, whole = (pd.read_csv(trained / "two" / name / file) for file in ("begun.csv", "history.csv"))
    pd.testing.assert_frame_equal(whole[TIMES].head(1), begun)  # the first round was not computed again
    assert len(whole) == 3


# --- how they are started ------------------------------------------------------------------------------------

DRIVER = """
import os, sys, types
sys.path.insert(0, {library!r})
from tymbal.smk import step

class Named(dict):
    __getattr__ = dict.__getitem__

snakemake = types.SimpleNamespace(
    log=[{log!r}], threads=4, rule="demo", input=Named(), output=Named(), params=Named(), wildcards=Named(),
    resources=Named({resources!r}),
)
with step(snakemake, __file__):
    import logging, signal, time, torch
    from tymbal.errors import InputError
    from tymbal.progress import track
    from tymbal.train.distributed import entered_once, process_group, rank, share, summed, told, world

    with process_group(torch.device("cpu")):
        logging.warning("threads %d, local %s", torch.get_num_threads(), os.environ["LOCAL_RANK"])
{body}
"""


@pytest.fixture
def run(tmp_path):
    """Run a body in the processes of a job; gives (exit status, terminal, log)."""

    def inner(body: str, resources: dict, **environment: str):
        script, log = tmp_path / "script.py", tmp_path / "demo.log"
        library = str(REPO / "workflow" / "scripts")
        body = textwrap.indent(textwrap.dedent(body), 8 * " ")
        script.write_text(DRIVER.format(library=library, log=str(log), resources=resources, body=body))
        environment = {**os.environ, **environment}
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr, log.read_text()

    return inner


def test_a_mistake_that_all_processes_meet_is_told_once(run):
    status, terminal, log = run("raise InputError('tags.csv, row 7: found 2')", {"gpu": 2})
    assert status == 1
    assert log.count("tags.csv, row 7") == 1
    assert "threads 2, local 0" in log
    assert "WARNING process 1: threads 2, local 1" in log
    assert "Traceback" not in log + terminal
    assert terminal == ""


def test_a_process_that_is_killed_ends_the_others_and_is_told(run):
    body = """
    if rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    told(None)
    """
    status, terminal, log = run(body, {"gpu": 2})
    assert status == 1
    assert log.count(" ERROR ") == 1
    assert "process 1 on" in log and "was ended by SIGKILL" in log
    assert "Traceback" not in log + terminal


def test_processes_that_came_to_the_end_of_the_script_have_done_well(run):
    """Threads of torch's connections sometimes abort the interpreter after that."""
    status, terminal, log = run("import atexit; atexit.register(os.abort); print('said', flush=False)", {"gpu": 2})
    assert status == 0, log
    assert log.count("said") == 2
    assert "finished in" in log
    assert terminal == ""


def test_what_was_staged_is_removed_although_another_process_ends_first(run, tmp_path):
    """As at every time limit: all processes stop, and the first that ends has the others ended."""
    write_store(tmp_path / "fbank", {"a": np.zeros((20, N_MELS))})
    (tmp_path / "scratch").mkdir()
    body = """
    import tempfile
    from pathlib import Path
    from tymbal.errors import OutOfTime
    from tymbal.staging import staged
    remove = tempfile.TemporaryDirectory.cleanup
    tempfile.TemporaryDirectory.cleanup = lambda self: (time.sleep(5), remove(self))  # a large store
    with entered_once(staged([Path("fbank")], os.path.abspath("scratch")), per_node=True):
        raise OutOfTime("epoch", 1, 2, 60.0, 30.0, Path("checkpoints"))
    """
    status, terminal, log = run(body, {"gpu": 2})
    assert status == 1
    assert "staged" in log
    assert log.count("stopped before the job's time limit") == 1
    assert "Traceback" not in log + terminal
    assert not list((tmp_path / "scratch").iterdir())


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
    path.chmod(0o755)
    return path


def test_processes_on_several_nodes_in_containers(run, tmp_path):
    """What starts something on every node does it twice here, and the container only tells how it was started."""
    everywhere = program(
        tmp_path,
        "everywhere",
        """
        import subprocess, sys
        assert sys.argv[1:4] == ["--quickly", "-n", "2"]
        agents = [subprocess.Popen(sys.argv[4:]) for _ in range(2)]
        sys.exit(max(agent.wait() for agent in agents))
        """,
    )
    program(
        tmp_path,
        "apptainer",
        """
        import os, sys
        *options, image, python, script = sys.argv[1:sys.argv.index("--agent")]
        assert (image, python) == ("my image.sif", "python")
        with open("options.txt", "w") as file:
            print(*options, file=file)
        os.execvp(sys.executable, [sys.executable, script, *sys.argv[sys.argv.index("--agent"):]])
        """,
    )
    body = """
    class Held:
        def __enter__(self):
            print("held by", rank())
            return rank()
        def __exit__(self, *error):
            print("released after", sum(1 for _ in open("seen.txt")))
    with entered_once(Held()) as holder, entered_once(Held(), per_node=True) as on_node:
        total = summed(torch.tensor([float(len(range(5)[share(5).rows]))]))
        time.sleep(rank())
        with open("seen.txt", "a") as file:
            print(world(), os.environ["LOCAL_WORLD_SIZE"], holder, on_node == rank() // 2 * 2, total.item(), file=file)
        for _ in track(range(2), "fbank", "clips"): pass
    """
    status, terminal, log = run(
        body,
        {"gpu": 4, "nodes": 2, "mpi": f"{everywhere} --quickly"},
        PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        TYMBAL_CONTAINER="--nv --bind '/a b' 'my image.sif'",
    )
    assert status == 0, terminal + log
    assert (tmp_path / "seen.txt").read_text().splitlines() == ["4 2 0 True 5.0"] * 4
    assert sorted(line for line in log.splitlines() if line.startswith("held")) == ["held by 0"] * 2 + ["held by 2"]
    assert log.count("released after 4") == 3
    assert terminal.count("fbank 2/2 clips") == 1
    options = (tmp_path / "options.txt").read_text()
    assert options.startswith(f"exec --home {tmp_path} --bind ")
    assert options.endswith(":/mnt/snakemake --nv --bind /a b\n")
    assert {path.suffixes[0] for path in tmp_path.glob("script*")} == {".py"}  # the copy for containers is gone


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, Layout(1, 1)),
        ({"gpu": 1}, Layout(1, 1)),
        ({"gpu": 4}, Layout(1, 4)),
        ({"gpu": 8, "nodes": 2, "mpi": "srun"}, Layout(2, 4)),
        ({"gpu": 0, "gres": "gpu:a100:2"}, Layout(1, 2)),
        ({"gres": "gpu:2", "nodes": 2, "mpi": "srun"}, Layout(2, 2)),
        ({"gres": "gpu:a100"}, Layout(1, 1)),
        ({"gres": "lustre:4"}, Layout(1, 1)),
        ({"gpu": 3, "nodes": 2, "mpi": "srun"}, "3 GPUs on 2 nodes"),
        ({"gpu": 4, "nodes": 2}, "Set `mpi` in the profile"),
    ],
)
def test_processes_follow_from_the_resources(resources, expected):
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            layout(resources)
    else:
        assert layout(resources) == expected


def test_what_is_to_start_processes_on_nodes_must_be_there(tmp_path):
    with pytest.raises(InputError, match="no-srun is not on PATH"), (tmp_path / "terminal").open("w") as terminal:
        start("script.py", Layout(2, 1), "no-srun --quickly", terminal)


def test_each_process_has_a_gpu_of_its_own_or_none_begins(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert choose_device(2) == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(InputError, match=r"needs 4 GPUs on .* but torch sees 2"):
        choose_device(4)


@pytest.mark.parametrize(
    ("nodes", "method", "image"),
    [(None, "apptainer", "a.sif"), (1, "apptainer", "a.sif"), (2, "apptainer", None), (2, "x", None)],
)
def test_scripts_of_several_nodes_start_the_container_themselves(monkeypatch, nodes, method, image):
    monkeypatch.delenv(CONTAINER, raising=False)
    rule = SimpleNamespace(resources={"nodes": SimpleNamespace(raw=nodes)})
    settings = SimpleNamespace(deployment_method={method}, apptainer_args="--nv")
    workflow = SimpleNamespace(get_rule={"finetune": rule}.get, deployment_settings=settings)
    assert image_of(workflow, "finetune", lambda wildcards: "a.sif")(None) == image
    assert os.environ.get(CONTAINER) == ("--nv a.sif" if nodes == 2 and method == "apptainer" else None)
    os.environ.pop(CONTAINER, None)


SNAKEFILE = """
configfile: "config.json"
rule finetune:
    input: manifest="manifest.csv", folds="folds.csv", store="fbank/index.csv", norm="norm.json", init=[]
    output: **{files!r}
    log: "{{dataset}}/{{model}}/{{fold}}/{{seed}}/log"
    threads: 2
    resources: gpu=2
    params: model={model!r}, target_rule="any", single_label=True, checkpoints="checkpoints", code="code"
    script: {script!r}
"""


def test_the_real_script_trains_in_two_processes_under_snakemake(tmp_path):
    make_data(tmp_path)
    names = {"model": "model.safetensors", "card": "model.json", "history": "history.csv", "run": "run.json"}
    files = {name: f"{{dataset}}/{{model}}/{{fold}}/{{seed}}/{file}" for name, file in names.items()}
    model = {
        "frontend": "fbank32",
        "long_clips": "cut",
        "net": {**NET, "stride": NET["patch"]},
        "train": {
            "loss": "bce",
            "epochs": 1,
            "batch_size": 6,
            "optimizer": {"lr": 0.001},
            "schedule": {"name": "cosine"},
        },
    }
    script = str(REPO / "workflow" / "scripts" / "finetune.py")
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(files=files, model=model, script=script))
    config = merged_config(REPO / "config" / "config.yaml", REPO / "config" / "test.yaml")
    write_json(tmp_path / "config.json", {**config, "allow_cpu": True, "stage": str(tmp_path)})
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", tmp_path]
    command += ["--snakefile", tmp_path / "Snakefile", "field/m/1/0/model.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True)
    log = (tmp_path / "field/m/1/0/log").read_text()
    assert done.returncode == 0, done.stdout + done.stderr + log
    assert json.loads((tmp_path / "field/m/1/0/run.json").read_text())["processes"] == 2
    assert "starting 2 processes on each of 1 nodes" in log
    assert log.count("staged") == 1
    assert "WARNING process 1: no GPU though the job asked for 2" in log
    assert "process 1: training" not in log
    assert not (tmp_path / "checkpoints").exists()
