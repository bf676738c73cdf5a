"""Tymbal: recordings -> manifest -> split -> fbank -> statistics -> fine-tuning -> evaluation -> report."""

from snakemake.utils import min_version

min_version("9.25")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


# Used only with `--software-deployment-method apptainer`; see containers/README.md.
container: container_image(workflow)


include: "workflow/rules/download.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/validate.smk"


try:
    check_rule_names(workflow)
except InputError as error:
    raise WorkflowError(str(error)) from None


onstart:
    logger.info(
        f"Planned:\n{plan.sentence()}\nLogs: logs/<rule>/; results: results/"
    )
    preflight(workflow, plan.config)


onsuccess:
    rules_run = {job.rule.name for job in workflow.dag.jobs}
    if "write_report" in rules_run:
        logger.info(
            "Done. Report: results/report/index.html; tables: results/summary/"
        )
    if "write_comparison" in rules_run:
        logger.info("Models compared: results/summary/comparison.md")
    if "write_season_page" in rules_run:
        logger.info(
            f"Predicted. Page: {plan.season.folder}/index.html; tables beside it"
        )
    if "pick_label_next" in rules_run:
        logger.info(f"Clips to label next: {plan.season.folder}/label_next/")


onerror:
    logger.info(
        "Failed. Look for 'Error in rule' above; each rule's own words are in logs/<rule>/"
    )


rule all:
    """The pages and every table and figure behind them."""
    default_target: True
    input:
        rules.pages.input,
        "results/summary/config.yaml",
        rules.metrics.input,
        rules.compare.input,
        rules.figures.input,
    message:
        "All pages, tables and figures planned"
