"""What jobs ask for: memory and time, from how much they have to do. Read when the Snakefile is parsed.

A job that nevertheless needs more is tried again with a multiple: twice as much, then three times (time up to a day).
"""

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from tymbal import amounts
from tymbal.amounts import Amount
from tymbal.plan import Plan

SPARE_MEMORY, SPARE_TIME = 1.5, 4.0  # times what was measured: other data, slower disks and processors
SPARE_OPERATIONS = 2.0  # the same of models' operations, where no disk is waited for
MOST_MINUTES = 24 * 60  # many partitions end here: Slurm refuses a longer job or never starts it; a profile may ask
SNAKEMAKE_MB = 350  # of the two processes of it that run a job's step
GFLOPS = 60.0  # a second, of a job's processors in a forward pass


class Need(NamedTuple):
    """What a rule needs.

    Attributes:
        mb: memory whatever the size, most of it libraries.
        of: how much a job has to do, from the plan, its wildcards and its inputs.
        clips: memory (MB) and time (s) more for each million clips.
        cells: memory (MB) and time (s) more for each million cells of classes.
        hours: time (s) for each hour of sound that is decoded, or read as features.
        minutes: time whatever the size: starting a container on a busy file system, and what cannot be known before.
    """

    mb: float
    of: Callable[[Plan, Any, Any], Amount] = amounts.nothing
    clips: tuple[float, float] = (0, 0)
    cells: tuple[float, float] = (0, 0)
    hours: float = 0
    minutes: float = 15


# Measured step by step on one core, as maximum resident set and processor time: 2,000 to 200,000 clips of 12 classes,
# 20,000 to 100,000 of 200 and 527, and 1.8 million in `tests/bench`; hours of WAV and of OGG files; rounded up.
# Rules with `retries: 0` have no second attempt to ask for more: they ask for twice what was measured, never little.
NEEDS = {
    "synthesise_soundscapes": Need(400, minutes=30),
    "mix_soundscapes": Need(500, amounts.mixed, clips=(4000, 6000), hours=6, minutes=30),
    "list_clips": Need(2500, minutes=60),  # of two million names: how many there are is not known yet
    "measure_clips": Need(700, amounts.listed, clips=(1000, 5000), minutes=120),  # of some seconds: not known yet
    "prepare_manifest": Need(2400, amounts.measured, clips=(1500, 100), cells=(70, 5), minutes=120),  # reads new files
    "split_folds": Need(2400, amounts.clips, clips=(1400, 40), cells=(80, 3), minutes=30),
    "audit_split": Need(1200, amounts.copies, clips=(3000, 200), cells=(25, 2), hours=1),
    "compute_fbank": Need(1300, amounts.features, clips=(1000, 400), cells=(25, 2), hours=10),
    "index_fbank": Need(700, amounts.clips, clips=(1000, 50)),
    "fit_norm_stats": Need(1000, amounts.clips, clips=(1200, 50), hours=1),
    "list_corpus": Need(5000, amounts.corpus, clips=(1300, 50), cells=(25, 2), minutes=30),
    "fit_corpus_norm": Need(1000, amounts.corpus, clips=(1200, 50), hours=1),
    "pretrain": Need(4000, amounts.pretraining, clips=(1200, 0)),  # 3 GB of it for CUDA; time is the profile's
    "finetune": Need(4000, amounts.finetuning, clips=(1200, 0), cells=(30, 0)),
    "calibrate": Need(1000, amounts.validating, clips=(1200, 100), cells=(50, 15)),
    "evaluate": Need(1000, amounts.testing, clips=(1200, 100), cells=(150, 200)),
    "probe_encoder": Need(1000, amounts.probing, clips=(1200, 100), cells=(50, 200)),
    "collect_summary": Need(800, amounts.collected, cells=(180, 100)),
    "compare_models": Need(800, amounts.drawn),
    "write_comparison": Need(400),
    "pick_examples": Need(800, amounts.predictions, cells=(60, 5)),
    "pick_errors": Need(1000, amounts.told_errors, clips=(1200, 100), cells=(60, 5)),
    "pick_reconstructions": Need(1500, amounts.corpus, clips=(1200, 50)),
    "export_ssast": Need(1500),
    "probe": Need(300),
    "plot_model_figure": Need(600, minutes=5),
    "plot_dataset_figure": Need(600, minutes=5),
    "plot_pretraining_figure": Need(600, minutes=5),
    "list_recordings": Need(1500, minutes=120),  # opens every file: how many there are is not known yet
    "predict_part": Need(1300, amounts.season_part, clips=(300, 0), hours=20),
    "collect_predictions": Need(400, amounts.season, clips=(300, 30), cells=(0, 2)),
    "find_detections": Need(800, amounts.season, clips=(200, 60), cells=(0, 5)),
    "predict_reference": Need(1500, amounts.reference, clips=(1500, 100), minutes=30),
    "compare_with_training": Need(900, amounts.season, clips=(600, 20), cells=(0, 5), minutes=30),
    "pick_season_sounds": Need(900, amounts.season, clips=(150, 20), cells=(0, 5), minutes=30),
    "write_season_page": Need(800, minutes=30),
    "pick_label_next": Need(1500, amounts.season, clips=(600, 20), cells=(0, 5), minutes=60),
    "write_report": Need(600),
    "write_model_report": Need(600),
}


def memory_mb(need: Need, amount: Amount, attempt: int) -> int:
    """Memory to ask for, MB, in whole hundreds."""
    of_tables = (need.clips[0] * amount.clips + need.cells[0] * amount.cells) / 1e6
    return attempt * 100 * math.ceil(SPARE_MEMORY * (SNAKEMAKE_MB + need.mb + of_tables + amount.mb) / 100)


def minutes(need: Need, amount: Amount, attempt: int) -> int:
    """Time to ask for, minutes."""
    measured = (need.clips[1] * amount.clips + need.cells[1] * amount.cells) / 1e6 + need.hours * amount.hours
    seconds = SPARE_TIME * measured + SPARE_OPERATIONS * amount.gflop / GFLOPS
    return min(attempt * math.ceil(need.minutes + seconds / 60), MOST_MINUTES)


def asked(plan: Plan, rule: str) -> dict[str, Callable[..., int]]:
    """`mem_mb` and `runtime` of a rule, as functions for `resources:`.

    Until all inputs of a job are there, its amounts are not known and the functions raise FileNotFoundError: Snakemake
    then tells <TBD>, and asks again when the job is ready.

    Args:
        plan: of the configuration.
        rule: its name.
    """
    need = NEEDS[rule]

    def amount(wildcards: Any, input: Any) -> Amount:
        if need.of is not amounts.nothing:
            for path in input:
                os.stat(path)  # noqa: PTH116 - Snakemake knows the file that is missing by its name, not by a Path
        try:
            return need.of(plan, wildcards, input)
        except Exception:  # what an estimate is made from is damaged or lost: the job, if any, tells of it
            return Amount()

    return {
        "mem_mb": lambda wildcards, input, attempt: memory_mb(need, amount(wildcards, input), attempt),
        "runtime": lambda wildcards, input, attempt: minutes(need, amount(wildcards, input), attempt),
    }
