"""A job array for SLURM: the same command in N parts, and the report when all are done."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

SCRIPT = "slurm.sh"

_TEMPLATE = """\
#!/bin/bash
# Submits {tasks} array tasks and, when they are done, the report. The nodes see the images and this folder under the
# same paths. Add the options of your cluster (partition, account, --gres=gpu:1) to both lines.
set -e
cd {folder}
array=$(sbatch --parsable --array=1-{tasks} --cpus-per-task={threads} --output={log} \\
    --wrap={part})
sbatch --dependency=afterany:${{array%%;*}} --cpus-per-task={threads} --output={report_log} \\
    --wrap={report}
"""


def write_array_script(out: Path, words: Sequence[str], tasks: int, threads: int) -> Path:
    """Write the script that submits a planned simulation.

    Args:
        out: folder of the results, on a file system that all nodes share.
        words: of the command, without the program's name; ``--slurm`` and its number are taken out.
        tasks: array tasks.
        threads: processor threads of a training.
    """
    kept = _without(list(words), "--slurm")
    command = shlex.join([sys.executable, "-m", "xssr_strategy.cli", *kept])  # whatever PATH a node has
    script = out / SCRIPT
    text = _TEMPLATE.format(
        tasks=tasks,
        folder=shlex.quote(str(Path.cwd())),
        threads=threads,
        log=shlex.quote(str(out / "slurm-%a.log")),
        report_log=shlex.quote(str(out / "slurm-report.log")),
        # The shell of the task, not that of the submission, knows its number.
        part=shlex.quote(f"{command} --jobs 1 --part $SLURM_ARRAY_TASK_ID/{tasks}"),
        report=shlex.quote(f"{command} --jobs 1"),
    )
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)
    return script


def _without(words: list[str], option: str) -> list[str]:
    kept = []
    skip = False
    for word in words:
        if not skip and word != option and not word.startswith(f"{option}="):
            kept.append(word)
        skip = word == option
    return kept
