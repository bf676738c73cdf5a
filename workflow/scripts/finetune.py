"""Fine-tune one model on one fold with one seed."""

from pathlib import Path

from tymbal.smk import run_of, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.models import Model
        from tymbal.devices import choose_device
        from tymbal.train.finetune import Inputs, Outputs, finetune

        files, made = snakemake.input, snakemake.output
        finetune(
            Inputs(
                manifest=Path(files.manifest),
                folds=Path(files.folds),
                store=Path(files.store).parent,
                norm=Path(files.norm),
                init=Path(files.init[0]) if files.init else None,
            ),
            Outputs(
                model=Path(made.model),
                card=Path(made.card),
                history=Path(made.history),
                run=Path(made.run),
                checkpoints=Path(snakemake.params.checkpoints),
            ),
            run_of(snakemake.wildcards),
            Model(**snakemake.params.model),
            snakemake.params.target_rule,
            single_label=snakemake.params.single_label,
            code=snakemake.params.code,
            device=choose_device(snakemake.resources.get("gpu", 0)),
        )
