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


use rule make_download as make_figures with:
    input:
        flow.needs("figures"),
    output:
        "results/figures/{key}/manifest.json",
    log:
        "logs/figures/{key}.log",
    resources:
        **STAGES["figures"].resources.reserved,
    params:
        stage="figures",
        label=flow.label("figures"),
        why=flow.why("figures"),


use rule make_download as make_report with:
    input:
        flow.needs("report"),
    output:
        "results/report/{key}/manifest.json",
    log:
        "logs/report/{key}.log",
    resources:
        **STAGES["report"].resources.reserved,
    params:
        stage="report",
        label=flow.label("report"),
        why=flow.why("report"),


rule figures:
    input:
        flow.results("figures"),


localrules:
    publish_report,
    figures,
