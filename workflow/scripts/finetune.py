"""Fine-tune one model on one fold with one seed."""

from pathlib import Path

from tymbal.config import load
from tymbal.smk import deadline, device, run_of, step

if __name__ == "__main__":
    with step(snakemake, __real_file__):
        limit, where = deadline(snakemake), device(snakemake)

        from tymbal.config.models import Model
        from tymbal.lock import locked
        from tymbal.staging import staged
        from tymbal.train.distributed import entered_once, process_group
        from tymbal.train.finetune import Inputs, Outputs, finetune

        files, made, checkpoints = snakemake.input, snakemake.output, Path(snakemake.params.checkpoints)
        copied = staged([Path(files.store).parent], load(snakemake.config).stage)
        with process_group(where), entered_once(locked(checkpoints)), entered_once(copied, per_node=True) as (store,):
            finetune(
                Inputs(
                    manifest=Path(files.manifest),
                    folds=Path(files.folds),
                    store=store,
                    norm=Path(files.norm),
                    init=Path(files.init[0]) if files.init else None,
                ),
                Outputs(
                    model=Path(made.model),
                    card=Path(made.card),
                    history=Path(made.history),
                    run=Path(made.run),
                    checkpoints=checkpoints,
                ),
                run_of(snakemake.wildcards),
                Model(**snakemake.params.model),
                snakemake.params.target_rule,
                single_label=snakemake.params.single_label,
                code=snakemake.params.code,
                device=where,
                deadline=limit,
            )
