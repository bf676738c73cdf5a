"""Pre-train one encoder with one seed."""

from pathlib import Path

from tymbal.config import load
from tymbal.smk import deadline, device, pretrain_run_of, step

if __name__ == "__main__":
    with step(snakemake, __real_file__):
        limit, where = deadline(snakemake), device(snakemake)

        from tymbal.lock import locked
        from tymbal.pretrain.pretrain import Inputs, Outputs, pretrain
        from tymbal.staging import staged
        from tymbal.train.distributed import entered_once, process_group

        files, made, params, config = snakemake.input, snakemake.output, snakemake.params, load(snakemake.config)
        checkpoints = Path(params.checkpoints)
        copied = staged([Path(index).parent for index in files.stores], config.stage)
        with process_group(where), entered_once(locked(checkpoints)), entered_once(copied, per_node=True) as stores:
            pretrain(
                Inputs(
                    clips=Path(files.clips),
                    corpus=Path(files.corpus),
                    stores=dict(zip(params.datasets, stores, strict=True)),
                    norm=Path(files.norm),
                    init=Path(files.init[0]) if files.init else None,
                ),
                Outputs(
                    encoder=Path(made.encoder),
                    card=Path(made.card),
                    history=Path(made.history),
                    run=Path(made.run),
                    checkpoints=checkpoints,
                    tensorboard=Path(params.tensorboard),
                ),
                pretrain_run_of(snakemake.wildcards),
                config.pretraining[snakemake.wildcards.ssl],  # whole: params leave out what changes no result
                code=params.code,
                device=where,
                deadline=limit,
            )
