"""What happens around a script's one library call, in a process of its own as under Snakemake."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from helpers import REPO

DRIVER = """
import sys, types
sys.path.insert(0, {library!r})
from tymbal.smk import deadline, device, step

class Named(dict):
    __getattr__ = dict.__getitem__

snakemake = types.SimpleNamespace(
    log=[{log!r}], threads=1, rule="demo", input=Named(table={table!r}), output=Named(made={made!r}),
    params=Named(epochs=2), wildcards=Named(dataset="a", model="b", fold="2", seed="0"),
    resources=Named(mem_mb=500, _cores=1), config={config!r},
)
with step(snakemake):
{body}
"""


@pytest.fixture
def run(tmp_path):
    """Run a body inside `step`; gives (exit status, terminal, log)."""
    (tmp_path / "table.csv").write_text("x" * 2000)

    def inner(body: str):
        text = DRIVER.format(
            library=str(REPO / "workflow" / "scripts"),
            log=str(tmp_path / "logs" / "demo.log"),
            table=str(tmp_path / "table.csv"),
            made=str(tmp_path / "made"),
            config=yaml.safe_load((REPO / "config" / "config.yaml").read_text()),
            body=textwrap.indent(textwrap.dedent(body), "    "),
        )
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout + done.stderr, (tmp_path / "logs" / "demo.log").read_text()

    return inner


def test_log_tells_inputs_parameters_and_time(run):
    status, terminal, log = run("print('said')\nimport warnings; warnings.warn('careful')")
    assert status == 0
    assert terminal == ""
    assert "rule demo, threads: 1" in log
    assert "resources: mem_mb=500\n" in log
    assert "table.csv (0.002 MB)" in log
    assert "parameter epochs: 2" in log
    assert "said" in log
    assert "careful" in log
    assert "finished in" in log


def test_a_users_mistake_is_told_without_a_traceback(run):
    status, _, log = run(
        "from tymbal.errors import InputError\nraise InputError('tags.csv, row 7: found 2, expected 0 or 1')"
    )
    assert status == 1
    assert "ERROR tags.csv, row 7" in log
    assert "Traceback" not in log
    assert "finished" not in log


def test_out_of_time_is_told_without_a_traceback(run):
    status, _, log = run(
        "from pathlib import Path\nfrom tymbal.errors import OutOfTime\n"
        "raise OutOfTime('epoch', 3, 9, 90.0, 60.0, Path('run/checkpoints'))"
    )
    assert status == 1
    assert "WARNING stopped before the job's time limit; epoch 3 of 9 is finished and saved in run/checkpoints" in log
    assert "took 1.5 min, and 1.0 min were left. The next attempt goes on from there" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_schedulers_signal_or_a_key_ends_a_step_in_good_order(run, name):
    """Launchers pass it on, and a key may be pressed again: what is tidied up is to come to its end."""
    status, _, log = run(
        f"import os, signal\ntry:\n    os.kill(os.getpid(), signal.{name})\n    print('went on')\n"
        f"finally:\n    os.kill(os.getpid(), signal.{name})\n    print('tidied up')"
    )
    assert status == 128 + getattr(signal, name)
    assert log.count(f"ERROR stopped from outside ({name}); the same command goes on") == 1
    assert "tidied up" in log
    assert "went on" not in log
    assert "Traceback" not in log


def test_a_deadline_is_runtime_less_grace_and_only_with_grace(run):
    status, _, log = run(
        "import time\nbefore, snakemake.resources = time.monotonic(), Named(runtime=120, grace=10)\n"
        "limit, after = deadline(snakemake), time.monotonic()\n"
        "print('between', before + 6600 <= limit <= after + 6600)\n"
        "print('none', deadline(types.SimpleNamespace(resources=Named(runtime=120))))"
    )
    assert status == 0
    assert "between True" in log
    assert "none None" in log


@pytest.mark.parametrize("resources", ["gpu=1", "gres='gpu:a100:1', gpu=0"])
def test_a_gpu_is_asked_for_in_either_way_and_the_configuration_may_allow_the_cpu(run, resources):
    _, _, log = run(
        "devices = types.SimpleNamespace(choose_device=lambda *asked: print('asked', *asked))\n"
        f"sys.modules['tymbal.devices'], snakemake.resources = devices, Named({resources})\n"
        "device(snakemake)\nsnakemake.config['allow_cpu'] = True\ndevice(snakemake)"
    )
    assert "asked 1 False\nasked 1 True\n" in log


def test_our_mistake_comes_with_a_traceback(run):
    status, _, log = run("{}['missing']")
    assert status == 1
    assert "Traceback" in log
    assert "KeyError: 'missing'" in log


def test_progress_reaches_the_terminal_and_the_log(run):
    _, terminal, log = run("from tymbal.progress import track\nfor _ in track(range(3), 'fbank', 'clips'): pass")
    assert terminal.startswith("fbank 3/3 clips")
    assert "fbank 3/3 clips" in log


def test_threads_are_limited_before_libraries_are_imported(run):
    _, _, log = run("import torch\nprint('threads', torch.get_num_threads())")
    assert "threads 1" in log


def test_wildcards_name_the_run(run):
    _, _, log = run("from tymbal.smk import run_of\nprint(run_of(snakemake.wildcards))")
    assert "Run(dataset='a', model='b', fold=2, seed=0)" in log


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("OSError(28, 'No space left on device', 'x.npy')", "x.npy cannot be written: the disk is full. Make room"),
        (
            "RuntimeError('I/O error: No space left on device (os error 28)')",
            "a file cannot be written: the disk is full",
        ),
        ("PermissionError(13, 'Permission denied', 'x.npy')", "x.npy: Permission denied. Make it accessible"),
    ],
)
def test_a_disk_that_is_full_or_closed_is_told_in_a_sentence(run, raised, told):
    status, _, log = run(f"raise {raised}")
    assert status == 1
    assert told in log
    assert "Traceback" not in log


def test_a_connection_that_is_refused_is_no_trouble_of_a_disk(run):
    _, _, log = run("raise PermissionError(13, 'Permission denied')")
    assert "Traceback" in log
    assert "Make it accessible" not in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_errors_of_a_disk_that_is_really_full_are_known(run):
    status, _, log = run("with open('/dev/full', 'w') as file:\n    file.write('x' * 100000)")
    assert status == 1
    assert "the disk is full" in log
