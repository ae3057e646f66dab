"""The page of the current experiment, with its figures."""


rule place_report:
    input:
        flow.report,
    output:
        report=REPORT,
        metrics="results/finetune/metrics.json",
        curves="results/finetune/curves.csv",
    threads: 1
    params:
        folder=flow.folder_of_report,
    message:
        "page {output.report} from {params.folder}"
    shell:
        "for page in {output}; do"
        " cp {params.folder}/$(basename $page) $page.new; mv $page.new $page; done"


rule make_figures:
    input:
        flow.needs("figures"),
    output:
        "results/figures/{key}/manifest.json",
    log:
        "logs/figures/{key}.log",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        label=flow.label("figures"),
        why=flow.why("figures"),
    message:
        "figures {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run figures/{wildcards.key} --log {log}"


rule make_report:
    input:
        flow.needs("report"),
    output:
        "results/report/{key}/manifest.json",
    log:
        "logs/report/{key}.log",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        label=flow.label("report"),
        why=flow.why("report"),
    message:
        "report {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run report/{wildcards.key} --log {log}"


rule figures:
    input:
        flow.results("figures"),


localrules:
    place_report,
    figures,
