"""The page of the current experiment, with its figures."""


rule publish_report:
    input:
        flow.report,
        report(
            flow.figures,
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels=lambda wildcards: {"figure": FIGURES[wildcards.figure][0]},
        ),
    output:
        report=report(
            REPORT,
            caption="../report/page.rst",
            category="Page",
            labels={"file": "the page"},
        ),
        metrics=report(
            "results/finetune/metrics.json",
            caption="../report/metrics.rst",
            category="Numbers",
            labels={"file": "bits per byte"},
        ),
        curves=report(
            "results/finetune/curves.csv",
            caption="../report/curves.rst",
            category="Numbers",
            labels={"file": "training curves"},
        ),
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
    publish_report,
    figures,
