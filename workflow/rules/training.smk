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
        **STAGES["pretrain"].resources.reserved,
    params:
        stage="pretrain",
        label=flow.label("pretrain"),
        why=flow.why("pretrain"),
        processes=training_processes,
    message:
        "{params.stage} {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run {params.stage}/{wildcards.key} --processes {params.processes} --log {log}"


use rule make_download as make_imported with:
    input:
        flow.needs("imported"),
    output:
        "results/imported/{key}/manifest.json",
    log:
        "logs/imported/{key}.log",
    resources:
        **STAGES["imported"].resources.reserved,
    params:
        stage="imported",
        label=flow.label("imported"),
        why=flow.why("imported"),


use rule make_pretrain as make_finetune with:
    input:
        flow.needs("finetune"),
    output:
        "results/finetune/{key}/manifest.json",
    log:
        "logs/finetune/{key}.log",
    resources:
        **STAGES["finetune"].resources.reserved,
    params:
        stage="finetune",
        label=flow.label("finetune"),
        why=flow.why("finetune"),
        processes=training_processes,


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
