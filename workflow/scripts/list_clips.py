"""List the files of a data set."""

from pathlib import Path

from tymbal.smk import path_map, roots, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.data import Clips
        from tymbal.ingest.lookup import write_names
        from tymbal.ingest.match import list_clips, match
        from tymbal.ingest.problems import judge, require_none

        dataset, name = Clips(**snakemake.params.dataset), snakemake.wildcards.dataset
        files = list_clips(dataset, name, roots(snakemake))
        matched = match(dataset, name, roots(snakemake), path_map(snakemake), files)
        # Before the files are read, which may take hours; and a listing that lacks files must not be kept.
        missing = judge(matched.missing, matched.n_records, dataset)
        require_none(f"data set {name}", [*missing, *matched.problems])
        write_names(files, Path(snakemake.output.files))
        write_names(sorted(matched.records), Path(snakemake.output.used))
