"""A trained model put to work on recordings: scores of every window, detections, activity, a page, clips to label next.

Needs `recordings` and `model`, given with --config: a folder, a list or a manifest, and the folder of a run. Makes
results/predictions/<season>/<predictor>/. The model's files are parameters by their contents, not inputs: a model that
is put to work is not trained again because the code of training has changed.
"""

SEASON = "results/predictions/{season}/{predictor}"


rule record_season:
    """What is predicted, by which model and with which settings; by this, results of others are never taken for it.

    No input of others: `ancient` would keep Snakemake from seeing that their own parameters have changed.
    """
    output:
        record=f"{SEASON}/season.json",
    log:
        "logs/record_season/{season}/{predictor}.log",
    localrule: True
    params:
        settings=plan.config.predict.model_dump(mode="json"),
    message:
        "Record what is predicted in {wildcards.season}"
    script:
        "../scripts/record_season.py"


checkpoint list_recordings:
    """All recordings by their headers and names, in parts that are a job each.

    The lists of parts are no outputs, as those would be deleted first: parts that stay as they are are not predicted
    again.
    """
    input:
        source=lambda wildcards: plan.season.sources,
    output:
        recordings=f"{SEASON}/recordings.csv",
    log:
        "logs/list_recordings/{season}/{predictor}.log",
    benchmark:
        "benchmarks/list_recordings/{season}/{predictor}.jsonl"
    retries: 0
    threads: 4
    resources:
        **asked("list_recordings"),
    params:
        settings=plan.predict_settings("name_patterns", "job_hours"),
        shards=f"{SEASON}/shards",
        code=code_digest("predict.recordings"),
    message:
        "List the recordings of {wildcards.season}"
    script:
        "../scripts/list_recordings.py"


rule predict_part:
    """Scores and embeddings of every window of one part of the recordings."""
    input:
        files=f"{SEASON}/shards/{{shard}}.csv",
    output:
        part=directory(f"{SEASON}/parts/{{shard}}"),
    log:
        "logs/predict_part/{season}/{predictor}/{shard}.log",
    benchmark:
        "benchmarks/predict_part/{season}/{predictor}/{shard}.jsonl"
    wildcard_constraints:
        shard=r"\d+",
    threads: 4
    resources:
        **asked("predict_part"),
    params:
        model=lambda wildcards: plan.season.contents(plan.season.model_files),
        settings=plan.predict_settings("length_s", "overlap", "channel"),
        code=code_digest("predict.shard"),
    message:
        "Predict {wildcards.season}, part {wildcards.shard}"
    script:
        "../scripts/predict_part.py"


rule collect_predictions:
    """All parts in one: scores, embeddings with their index, and what became of each recording."""
    input:
        recordings=f"{SEASON}/recordings.csv",
        parts=season_parts,
    output:
        **(
            {"scores_csv": f"{SEASON}/scores.csv"}
            if plan.config.predict.scores_csv
            else {}
        ),
        scores=f"{SEASON}/scores.parquet",
        embeddings=f"{SEASON}/embeddings.npy",
        embeddings_index=f"{SEASON}/embeddings_index.csv",
        files=f"{SEASON}/files.csv",
    log:
        "logs/collect_predictions/{season}/{predictor}.log",
    benchmark:
        "benchmarks/collect_predictions/{season}/{predictor}.jsonl"
    resources:
        **asked("collect_predictions"),
    params:
        code=code_digest("predict.collect"),
    message:
        "Collect the predictions of {wildcards.season}"
    script:
        "../scripts/collect_predictions.py"


rule find_detections:
    """Detections by the model's thresholds, as a table and for Raven and Audacity; activity with its effort."""
    input:
        scores=f"{SEASON}/scores.parquet",
        files=f"{SEASON}/files.csv",
    output:
        detections=f"{SEASON}/detections.csv",
        raven=directory(f"{SEASON}/raven"),
        audacity=directory(f"{SEASON}/audacity"),
        activity=f"{SEASON}/activity.csv",
    log:
        "logs/find_detections/{season}/{predictor}.log",
    benchmark:
        "benchmarks/find_detections/{season}/{predictor}.jsonl"
    resources:
        **asked("find_detections"),
    params:
        decisions=lambda wildcards: plan.season.contents(plan.season.decisions),
        channel=plan.config.predict.channel,
        code=code_digest("predict.detections"),
    message:
        "Find detections and activity in {wildcards.season}"
    script:
        "../scripts/find_detections.py"


rule predict_reference:
    """The clips that the model's epoch and thresholds were chosen on, as it hears them, to hold a season against."""
    output:
        reference=f"{SEASON}/reference.npz",
    log:
        "logs/predict_reference/{season}/{predictor}.log",
    benchmark:
        "benchmarks/predict_reference/{season}/{predictor}.jsonl"
    threads: 4
    resources:
        **asked("predict_reference"),
    params:
        model=lambda wildcards: plan.season.contents(plan.season.model_files),
        code=code_digest("predict.make_reference"),
    message:
        "Predict the clips that the model was chosen on"
    script:
        "../scripts/predict_reference.py"


rule compare_with_training:
    """How far each site's features, levels and scores are from what the model was chosen on, and shares of classes."""
    input:
        scores=f"{SEASON}/scores.parquet",
        embeddings=f"{SEASON}/embeddings.npy",
        files=f"{SEASON}/files.csv",
        reference=f"{SEASON}/reference.npz",
    output:
        drift=f"{SEASON}/drift.csv",
        shares=f"{SEASON}/class_shares.csv",
    log:
        "logs/compare_with_training/{season}/{predictor}.log",
    benchmark:
        "benchmarks/compare_with_training/{season}/{predictor}.jsonl"
    resources:
        **asked("compare_with_training"),
    params:
        decisions=lambda wildcards: plan.season.contents(plan.season.decisions),
        code=code_digest("predict.drift"),
    message:
        "Compare {wildcards.season} with what the model was chosen on"
    script:
        "../scripts/compare_with_training.py"


rule pick_season_sounds:
    """The best windows of each class and a stretch of one recording, to look at and to listen to.

    Reads recordings without declaring them: where they have moved away, there is no sound.
    """
    input:
        scores=f"{SEASON}/scores.parquet",
        files=f"{SEASON}/files.csv",
    output:
        table=f"{SEASON}/top_clips.csv",
        arrays=f"{SEASON}/sounds.npz",
    log:
        "logs/pick_season_sounds/{season}/{predictor}.log",
    benchmark:
        "benchmarks/pick_season_sounds/{season}/{predictor}.jsonl"
    resources:
        **asked("pick_season_sounds"),
    params:
        decisions=lambda wildcards: plan.season.contents(plan.season.decisions),
        channel=plan.config.predict.channel,
        code=code_digest("predict.make_sounds"),
    message:
        "Pick the best windows of {wildcards.season}"
    script:
        "../scripts/pick_season_sounds.py"


rule write_season_page:
    """One self-contained page about the season."""
    input:
        scores=f"{SEASON}/scores.parquet",
        files=f"{SEASON}/files.csv",
        detections=f"{SEASON}/detections.csv",
        activity=f"{SEASON}/activity.csv",
        reference=f"{SEASON}/reference.npz",
        drift=f"{SEASON}/drift.csv",
        shares=f"{SEASON}/class_shares.csv",
        top_clips=f"{SEASON}/top_clips.csv",
        sounds=f"{SEASON}/sounds.npz",
    output:
        page=f"{SEASON}/index.html",
    log:
        "logs/write_season_page/{season}/{predictor}.log",
    benchmark:
        "benchmarks/write_season_page/{season}/{predictor}.jsonl"
    resources:
        **asked("write_season_page"),
    params:
        files=TOLD_FILES,
        code=code_digest("report.season_page"),
    message:
        "Write the page of {wildcards.season}"
    script:
        "../scripts/write_season_page.py"


rule pick_label_next:
    """Clips to label next, cut from their recordings, with a tag table to fill in.

    The folder with the clips and the table is no output: what a person has filled in is never deleted.
    """
    input:
        scores=f"{SEASON}/scores.parquet",
        embeddings=f"{SEASON}/embeddings.npy",
        files=f"{SEASON}/files.csv",
    output:
        table=f"{SEASON}/label_next.csv",
    log:
        "logs/pick_label_next/{season}/{predictor}.log",
    benchmark:
        "benchmarks/pick_label_next/{season}/{predictor}.jsonl"
    retries: 0
    resources:
        **asked("pick_label_next"),
    params:
        decisions=lambda wildcards: plan.season.contents(plan.season.decisions),
        settings=plan.predict_settings("label_next", "channel", "name_patterns"),
        folder=f"{SEASON}/label_next",
        code=code_digest("predict.label_next"),
    message:
        "Pick clips of {wildcards.season} to label next"
    script:
        "../scripts/pick_label_next.py"


rule predict:
    """Everything that is told of the recordings, but for clips to label next."""
    input:
        of_season(
            "season.json",
            "index.html",
            "detections.csv",
            "activity.csv",
            "embeddings_index.csv",
            "class_shares.csv",
            *(["scores.csv"] if plan.config.predict.scores_csv else []),
        ),
    message:
        "All that is told of the recordings"


rule label_next:
    """Clips of the recordings that are worth labelling next."""
    input:
        of_season("season.json", "label_next.csv"),
    message:
        "Clips to label next"
