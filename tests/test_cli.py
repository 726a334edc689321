"""The command as a whole."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from xssr_strategy import __version__
from xssr_strategy.cli import main

_WITHOUT_MONAI_LABEL = (
    "import sys; sys.modules['monailabel'] = None; from xssr_strategy.cli import main; sys.exit(main({arguments!r}))"
)


def test_version(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "printed"),
    [
        (["doctor"], 0, "xssr doctor"),
        (["select", "--studies", "/no/such"], 2, "does not exist"),
        (["map", "--studies", "/no/such"], 2, "does not exist"),
        (["serve", "--studies", "."], 2, "install it with pip install 'xssr-strategy[server]'"),
        (["demo", "--out", "DEMO"], 2, "install it with pip install 'xssr-strategy[server]'"),
    ],
)
def test_commands_run_or_say_what_to_do_without_monai_label(tmp_path, arguments, status, printed) -> None:
    words = [str(tmp_path / "demo") if word == "DEMO" else word for word in arguments]
    program = _WITHOUT_MONAI_LABEL.format(arguments=words)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == status, result.stdout + result.stderr
    assert printed in result.stdout
    assert "Traceback" not in result.stderr


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
