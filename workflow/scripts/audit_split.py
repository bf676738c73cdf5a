"""Look for what held-out clips share with training clips."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.audit import audit
        from tymbal.evaluate.tables import read_table, write_table
        from tymbal.folds import read_folds
        from tymbal.ingest.manifest import read_manifest
        from tymbal.store import FeatureStore

        table, near_copies = audit(
            read_manifest(Path(snakemake.input.manifest)),
            read_folds(Path(snakemake.input.folds)),
            read_table(Path(snakemake.input.balance)),
            snakemake.params.group,
            FeatureStore(Path(snakemake.input.store).parent).frames,
        )
        write_table(table, Path(snakemake.output.audit))
        write_table(near_copies, Path(snakemake.output.near_copies))
