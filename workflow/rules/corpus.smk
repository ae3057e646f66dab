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
        **STAGES["download"].resources.reserved,
    params:
        stage="download",
        label=flow.label("download"),
        why=flow.why("download"),
    message:
        "{params.stage} {params.label} ({wildcards.key}): {params.why}"
    shell:
        "variorum run {params.stage}/{wildcards.key} --log {log}"


use rule make_download as make_normalize with:
    input:
        flow.needs("normalize"),
    output:
        "results/normalize/{key}/manifest.json",
    log:
        "logs/normalize/{key}.log",
    resources:
        **STAGES["normalize"].resources.reserved,
    params:
        stage="normalize",
        label=flow.label("normalize"),
        why=flow.why("normalize"),


use rule make_download as make_tokenizer with:
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


use rule make_download as make_encode with:
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
