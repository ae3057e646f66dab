"""Judgement: scores on test, and what a model must bear."""


rule make_evaluate:
    input:
        flow.needs("evaluate"),
    output:
        "results/evaluate/{key}/manifest.json",
    log:
        "logs/evaluate/{key}.log",
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    params:
        label=flow.label("evaluate"),
        why=flow.why("evaluate"),
    message:
        "evaluate {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run evaluate/{wildcards.key} --log {log}"


rule make_stress:
    input:
        flow.needs("stress"),
    output:
        "results/stress/{key}/manifest.json",
    log:
        "logs/stress/{key}.log",
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    params:
        label=flow.label("stress"),
        why=flow.why("stress"),
    message:
        "stress {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run stress/{wildcards.key} --log {log}"


rule evaluate:
    input:
        flow.results("evaluate"),


rule stress:
    input:
        flow.results("stress"),


localrules:
    evaluate,
    stress,
