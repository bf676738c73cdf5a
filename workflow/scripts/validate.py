"""Check all that is planned before anything runs; tell every problem at once."""

import sys
from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal import progress
        from tymbal.config import load
        from tymbal.validate.check import check
        from tymbal.validate.model import Limits
        from tymbal.validate.page import write_report

        limits = {
            rule: Limits(rule, **each, threads=snakemake.threads) for rule, each in snakemake.params.limits.items()
        }
        report = check(load(snakemake.config), limits)
        summary = report.summary(page=str(write_report(report, Path("results/validate"))))
    if not report.ok:  # the log of a failed rule is shown, so it holds what is to be read and no more
        Path(snakemake.log[0]).write_text(summary + "\n", encoding="utf-8")
    if report.ok or not snakemake.params.log_is_shown:
        print(summary, file=progress.terminal, flush=True)
    sys.exit(0 if report.ok else 1)
