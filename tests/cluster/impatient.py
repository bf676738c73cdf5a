"""Snakemake as it is typed, but it asks Slurm every second how jobs are.

Its executor plugin waits ten seconds longer each time that no job ended well, up to three minutes, whatever is set:
most of a night in which jobs fail on purpose.
"""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

SECONDS = 1

Executor.next_seconds_between_status_checks = property(lambda executor: SECONDS, lambda executor, seconds: None)

if __name__ == "__main__":
    sys.exit(main())
