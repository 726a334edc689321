"""The command as a whole."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xssr_strategy import __version__
from xssr_strategy.cli import main

_WITHOUT_MONAI_LABEL = """
import contextlib, io, json, sys
sys.modules["monailabel"] = None
from xssr_strategy.cli import main
answers = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = main(arguments)
    answers.append([status, printed.getvalue()])
print(json.dumps(answers))
"""
COMMANDS = [
    (["doctor"], 0, "xssr doctor"),
    (["select", "--studies", "/no/such"], 2, "does not exist"),
    (["map", "--studies", "/no/such"], 2, "does not exist"),
    (["serve", "--studies", "."], 2, "install it with pip install 'xssr-strategy[server]'"),
    (["demo", "--out", "DEMO"], 2, "install it with pip install 'xssr-strategy[server]'"),
]


def test_version(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.fixture(scope="module")
def without_monai_label(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Command -> status and what it printed, all in one process that cannot import MONAI Label."""
    folder = tmp_path_factory.mktemp("without")
    commands = [[str(folder / "demo") if word == "DEMO" else word for word in words] for words, _, _ in COMMANDS]
    command = [sys.executable, "-c", _WITHOUT_MONAI_LABEL, json.dumps(commands)]
    result = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    answers = json.loads(result.stdout.splitlines()[-1])
    return {words[0]: (status, printed) for (words, _, _), (status, printed) in zip(COMMANDS, answers, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "status", "printed"), COMMANDS)
def test_commands_run_or_say_what_to_do_without_monai_label(without_monai_label, arguments, status, printed) -> None:
    ended, told = without_monai_label[arguments[0]]
    assert ended == status, told
    assert printed in told


def test_a_full_disk_ends_in_a_sentence_and_other_faults_are_not_hidden(monkeypatch, capsys) -> None:
    faults = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/jobs/a.json"), OSError(errno.EIO, "broken")]

    def fail(*_: object) -> int:
        raise faults.pop(0)

    monkeypatch.setattr("xssr_strategy.commands.doctor.examine", fail)
    assert main(["doctor"]) == 2
    assert capsys.readouterr().out == (
        "xssr: out/jobs/a.json: No space left on device; make room and run again: what is finished is kept.\n"
    )
    with pytest.raises(OSError, match="broken"):
        main(["doctor"])


@pytest.mark.slow
def test_names_are_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    (tmp_path / "ü.png").touch()
    ascii_names = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "xssr_strategy.cli", "select", "--studies", str(tmp_path), "--budget", "1"]
    command += ["--out", str(tmp_path / "picks.csv")]
    done = subprocess.run(command, env=ascii_names, capture_output=True, encoding="utf-8", check=False)
    assert "ü.png: is an empty file" in done.stdout.replace("\n", " "), done.stdout + done.stderr
