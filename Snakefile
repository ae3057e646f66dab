"""From raw text to a trained, fine-tuned and stress-tested small GPT and its report.

    snakemake --cores 4 results/finetune/report.html
    snakemake --cores 4 reports/positions/table.md
    snakemake --cores 4 --config experiment=tiny -- results/finetune/report.html

The rules say what runs where; which results exist, what they need and how they are keyed is
decided by `variorum.snakemake`, from the configuration and the code.
"""


include: "workflow/own_code.smk"


from variorum.report.figures.captions import FIGURES
from variorum.snakemake import REPORT, STAGES, TABLE_FILES, flow_of


workdir: workflow.basedir


flow = flow_of(workflow)  # everything is planned here, once; jobs read the plan
config["figures"] = FIGURES  # which their caption in `--report` reads


envvars:
    "PYTHONSAFEPATH",  # executors hand these on to their jobs
    "VARIORUM_PLAN",  # the file of the plan


report: "workflow/report/workflow.rst"


wildcard_constraints:
    key="[0-9a-f]{12}",
    ablation="[A-Za-z0-9_-]+",


rule report:
    input:
        REPORT,
    localrule: True


include: "workflow/rules/corpus.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/ablation.smk"


onsuccess:
    shell("variorum track")


onerror:
    shell("variorum track")
