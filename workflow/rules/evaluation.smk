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


use rule make_evaluate as make_dynamic with:
    input:
        flow.needs("dynamic"),
    output:
        "results/dynamic/{key}/manifest.json",
    log:
        "logs/dynamic/{key}.log",
    resources:
        **STAGES["dynamic"].resources.reserved,
    params:
        stage="dynamic",
        label=flow.label("dynamic"),
        why=flow.why("dynamic"),


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


use rule make_evaluate as make_comparisons with:
    input:
        flow.needs("comparisons"),
    output:
        "results/comparisons/{key}/manifest.json",
    log:
        "logs/comparisons/{key}.log",
    resources:
        **STAGES["comparisons"].resources.reserved,
    params:
        stage="comparisons",
        label=flow.label("comparisons"),
        why=flow.why("comparisons"),


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


rule dynamic:
    input:
        flow.results("dynamic"),


rule baselines:
    input:
        flow.results("baselines"),


rule comparisons:
    input:
        flow.results("comparisons"),


rule stress:
    input:
        flow.results("stress"),


localrules:
    evaluate,
    dynamic,
    baselines,
    comparisons,
    stress,
