"""Text: from its source to token files."""


rule make_download:
    input:
        flow.needs("download"),
    output:
        "results/download/{key}/manifest.json",
    log:
        "logs/download/{key}.log",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        label=flow.label("download"),
        why=flow.why("download"),
    message:
        "download {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run download/{wildcards.key} --log {log}"


rule make_normalize:
    input:
        flow.needs("normalize"),
    output:
        "results/normalize/{key}/manifest.json",
    log:
        "logs/normalize/{key}.log",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        label=flow.label("normalize"),
        why=flow.why("normalize"),
    message:
        "normalize {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run normalize/{wildcards.key} --log {log}"


rule make_tokenizer:
    input:
        flow.needs("tokenizer"),
    output:
        "results/tokenizer/{key}/manifest.json",
    log:
        "logs/tokenizer/{key}.log",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        label=flow.label("tokenizer"),
        why=flow.why("tokenizer"),
    message:
        "tokenizer {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run tokenizer/{wildcards.key} --log {log}"


rule make_encode:
    input:
        flow.needs("encode"),
    output:
        "results/encode/{key}/manifest.json",
    log:
        "logs/encode/{key}.log",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        label=flow.label("encode"),
        why=flow.why("encode"),
    message:
        "encode {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run encode/{wildcards.key} --log {log}"


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
