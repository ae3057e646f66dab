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


use rule make_download as make_table with:
    input:
        flow.needs("table"),
    output:
        "results/table/{key}/manifest.json",
    log:
        "logs/table/{key}.log",
    resources:
        **STAGES["table"].resources.reserved,
    params:
        stage="table",
        label=flow.label("table"),
        why=flow.why("table"),


localrules:
    publish_table,
