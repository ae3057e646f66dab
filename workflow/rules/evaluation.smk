"""Judgement: scores on test, and what a model must bear."""


use rule make_download as make_evaluate with:
    input:
        flow.needs("evaluate"),
    output:
        "results/evaluate/{key}/manifest.json",
    log:
        "logs/evaluate/{key}.log",
    resources:
        **STAGES["evaluate"].resources.reserved,
    params:
        stage="evaluate",
        label=flow.label("evaluate"),
        why=flow.why("evaluate"),


use rule make_evaluate as make_baselines with:
    input:
        flow.needs("baselines"),
    output:
        "results/baselines/{key}/manifest.json",
    log:
        "logs/baselines/{key}.log",
    resources:
        **STAGES["baselines"].resources.reserved,
    params:
        stage="baselines",
        label=flow.label("baselines"),
        why=flow.why("baselines"),


use rule make_evaluate as make_stress with:
    input:
        flow.needs("stress"),
    output:
        "results/stress/{key}/manifest.json",
    log:
        "logs/stress/{key}.log",
    resources:
        **STAGES["stress"].resources.reserved,
    params:
        stage="stress",
        label=flow.label("stress"),
        why=flow.why("stress"),


rule evaluate:
    input:
        flow.results("evaluate"),


rule baselines:
    input:
        flow.results("baselines"),


rule stress:
    input:
        flow.results("stress"),


localrules:
    evaluate,
    baselines,
    stress,
