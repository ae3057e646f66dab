"""The project's own code comes first, here and in jobs."""

import os
import sys
from pathlib import Path

# Snakemake puts the folder of each of its files before Python's own modules, where a file
# `random.py` would take the place of one. A folder that is listed is not put there, and one without
# a finder gives no module.
own, rules = (str(Path(workflow.basedir, name)) for name in ("src", "workflow/rules"))
taken = {str(workflow.basedir), str(Path(workflow.basedir, "workflow")), own, rules}
sys.path[:] = [own, *(folder for folder in sys.path if folder not in taken), rules]
sys.path_importer_cache[rules] = None
os.environ["PYTHONSAFEPATH"] = "1"

# Jobs run in the project's folder, with the commands of this very environment.
commands = os.environ.get("PATH", os.defpath)
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{commands}"

# The Snakefile imports more from here, where a missing library is told in one line.
from variorum.base.errors import told_in_one_line

with told_in_one_line():
    import variorum.snakemake
