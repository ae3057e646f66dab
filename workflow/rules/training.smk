"""Models: pretrained on the base corpus, fine-tuned on the domain."""


rule make_pretrain:
    input:
        flow.needs("pretrain"),
    output:
        "results/pretrain/{key}/manifest.json",
    log:
        "logs/pretrain/{key}.log",
    threads: 2
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=0,
    params:
        label=flow.label("pretrain"),
    message:
        "pretrain {params.label} ({wildcards.key})"
    shell:
        "variorum run pretrain/{wildcards.key} --processes {threads} --log {log}"


rule make_finetune:
    input:
        flow.needs("finetune"),
    output:
        "results/finetune/{key}/manifest.json",
    log:
        "logs/finetune/{key}.log",
    threads: 2
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=0,
    params:
        label=flow.label("finetune"),
    message:
        "finetune {params.label} ({wildcards.key})"
    shell:
        "variorum run finetune/{wildcards.key} --processes {threads} --log {log}"


rule pretrain:
    input:
        flow.results("pretrain"),


rule finetune:
    input:
        flow.results("finetune"),


localrules:
    pretrain,
    finetune,
