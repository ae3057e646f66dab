"""Models: pretrained on the base corpus or imported, fine-tuned on the domain."""

from variorum.snakemake import training_processes
from variorum.base.machine import training_slots


rule make_pretrain:
    input:
        flow.needs("pretrain"),
    output:
        "results/pretrain/{key}/manifest.json",
    log:
        "logs/pretrain/{key}.log",
    threads: training_slots(workflow.resource_settings.cores)
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=0,
    params:
        label=flow.label("pretrain"),
        why=flow.why("pretrain"),
        processes=training_processes,
    message:
        "pretrain {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run pretrain/{wildcards.key} --processes {params.processes} --log {log}"


rule make_imported:
    input:
        flow.needs("imported"),
    output:
        "results/imported/{key}/manifest.json",
    log:
        "logs/imported/{key}.log",
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
        gpu=0,
    params:
        label=flow.label("imported"),
        why=flow.why("imported"),
    message:
        "imported {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run imported/{wildcards.key} --log {log}"


rule make_finetune:
    input:
        flow.needs("finetune"),
    output:
        "results/finetune/{key}/manifest.json",
    log:
        "logs/finetune/{key}.log",
    threads: training_slots(workflow.resource_settings.cores)
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=0,
    params:
        label=flow.label("finetune"),
        why=flow.why("finetune"),
        processes=training_processes,
    message:
        "finetune {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run finetune/{wildcards.key} --processes {params.processes} --log {log}"


rule pretrain:
    input:
        flow.results("pretrain"),


rule imported:
    input:
        flow.results("imported"),


rule finetune:
    input:
        flow.results("finetune"),


localrules:
    pretrain,
    imported,
    finetune,
