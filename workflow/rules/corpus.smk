"""Text: from its source to token files."""

from variorum.base.machine import training_slots
from variorum.snakemake import training_processes


rule make_download:
    input:
        flow.needs("download"),
    output:
        "results/download/{key}/manifest.json",
    log:
        "logs/download/{key}.log",
    threads: 1
    resources:
        **STAGES["download"].resources.reserved,
    params:
        stage="download",
        label=flow.label("download"),
        why=flow.why("download"),
    message:
        "{params.stage} {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run {params.stage}/{wildcards.key} --log {log}"


rule make_normalize:
    input:
        flow.needs("normalize"),
    output:
        "results/normalize/{key}/manifest.json",
    log:
        "logs/normalize/{key}.log",
    threads: training_slots(workflow.resource_settings.cores)
    resources:
        **STAGES["normalize"].resources.reserved,
    params:
        stage="normalize",
        label=flow.label("normalize"),
        why=flow.why("normalize"),
        processes=training_processes,
    message:
        "{params.stage} {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run {params.stage}/{wildcards.key} --processes {params.processes} --log {log}"


use rule make_normalize as make_tokenizer with:
    input:
        flow.needs("tokenizer"),
    output:
        "results/tokenizer/{key}/manifest.json",
    log:
        "logs/tokenizer/{key}.log",
    resources:
        **STAGES["tokenizer"].resources.reserved,
    params:
        stage="tokenizer",
        label=flow.label("tokenizer"),
        why=flow.why("tokenizer"),
        processes=training_processes,


use rule make_normalize as make_encode with:
    input:
        flow.needs("encode"),
    output:
        "results/encode/{key}/manifest.json",
    log:
        "logs/encode/{key}.log",
    resources:
        **STAGES["encode"].resources.reserved,
    params:
        stage="encode",
        label=flow.label("encode"),
        why=flow.why("encode"),
        processes=training_processes,


rule download:
    input:
        flow.results("download"),


rule normalize:
    input:
        flow.results("normalize"),


rule tokenizer:
    input:
        flow.results("tokenizer"),


rule encode:
    input:
        flow.results("encode"),


localrules:
    download,
    normalize,
    tokenizer,
    encode,
