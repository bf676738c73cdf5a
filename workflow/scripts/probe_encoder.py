"""Judge the encoder that a run starts from."""

from pathlib import Path

from tymbal.smk import device, run_of, step

if __name__ == "__main__":
    with step(snakemake):
        from pydantic import TypeAdapter

        from tymbal.evaluate.tables import write_table
        from tymbal.pretrain.probe import Inputs, Task, probe

        files, settings = snakemake.input, snakemake.params.settings
        table = probe(
            Inputs(
                manifest=Path(files.manifest),
                folds=Path(files.folds),
                store=Path(files.store).parent,
                norm=Path(files.norm),
                init=Path(files.init[0]) if files.init else None,
            ),
            run_of(snakemake.wildcards),
            TypeAdapter(Task).validate_python(settings),
            device=device(snakemake),
        )
        write_table(table, Path(snakemake.output.probe))
