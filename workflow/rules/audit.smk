"""What held-out clips share with training clips, looked up in the clips themselves after every split.

Makes results/<dataset>/{audit,near_copies}.csv.
"""


rule audit_split:
    """Groups, contents and near copies in two parts, and how far in place and time the parts are apart."""
    input:
        manifest="results/{dataset}/manifest.csv",
        folds="results/{dataset}/folds.csv",
        balance="results/{dataset}/folds_balance.csv",
        store=lambda wildcards: plan.audited_store(wildcards.dataset),
    output:
        audit="results/{dataset}/audit.csv",
        near_copies="results/{dataset}/near_copies.csv",
    log:
        "logs/audit_split/{dataset}.log",
    benchmark:
        "benchmarks/audit_split/{dataset}.jsonl"
    wildcard_constraints:
        dataset="|".join(plan.to_audit) or NEVER,
    threads: 4
    resources:
        **asked("audit_split"),
    params:
        group=lambda wildcards: plan.split_settings(wildcards.dataset)["group"],
        code=code_digest("audit", "store"),
    message:
        "Audit the split of {wildcards.dataset}"
    script:
        "../scripts/audit_split.py"
