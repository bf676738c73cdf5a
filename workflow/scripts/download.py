"""Get the planned data sets and released checkpoints that are not there yet."""

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal import progress
        from tymbal.config import load
        from tymbal.download import download
        from tymbal.errors import InputError
        from tymbal.plan import Plan

        config = load(snakemake.config)
        plan = Plan(config)
        datasets = {name: archives for name in plan.datasets_read if (archives := config.datasets[name].download)}
        if not datasets and not plan.released:
            raise InputError(
                f"nothing to download: none of the planned data sets ({', '.join(plan.datasets_read)}) has `download`, "
                "and no planned model starts from a released checkpoint. docs/recipes/ tells of each public data set "
                "where it can be had."
            )
        told = download(datasets, plan.released, config.folders, config.mirror)
        print("\n".join(told), file=progress.terminal, flush=True)
