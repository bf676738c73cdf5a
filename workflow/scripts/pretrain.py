"""Pre-train one encoder with one seed."""

from pathlib import Path

from tymbal.smk import pretrain_run_of, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config import load
        from tymbal.devices import choose_device
        from tymbal.pretrain.pretrain import Inputs, Outputs, pretrain

        files, made, params = snakemake.input, snakemake.output, snakemake.params
        pretrain(
            Inputs(
                clips=Path(files.clips),
                corpus=Path(files.corpus),
                stores={name: Path(index).parent for name, index in zip(params.datasets, files.stores, strict=True)},
                norm=Path(files.norm),
                init=Path(files.init[0]) if files.init else None,
            ),
            Outputs(
                encoder=Path(made.encoder),
                card=Path(made.card),
                history=Path(made.history),
                run=Path(made.run),
                checkpoints=Path(params.checkpoints),
                tensorboard=Path(params.tensorboard),
            ),
            pretrain_run_of(snakemake.wildcards),
            load(snakemake.config).pretraining[
                snakemake.wildcards.ssl
            ],  # whole: params leave out what changes no result
            code=params.code,
            device=choose_device(snakemake.resources.get("gpu", 0)),
        )
