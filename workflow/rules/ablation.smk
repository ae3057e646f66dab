"""Ablations: many runs, and the table that compares them."""


rule publish_table:
    input:
        flow.table,
    output:
        report(
            expand("reports/{{ablation}}/{file}", file=TABLE_FILES),
            caption="../report/table.rst",
            category="Ablations",
            subcategory="{ablation}",
        ),
    threads: 1
    params:
        result=flow.table_result,
    message:
        "table reports/{wildcards.ablation} from results/{params.result}"
    shell:
        "variorum publish results/{params.result} reports/{wildcards.ablation}"


rule make_table:
    input:
        flow.needs("table"),
    output:
        "results/table/{key}/manifest.json",
    log:
        "logs/table/{key}.log",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        label=flow.label("table"),
        why=flow.why("table"),
    message:
        "table {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run table/{wildcards.key} --log {log}"


localrules:
    publish_table,
