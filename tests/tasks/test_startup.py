"""No message begins a line of the log that another one owns."""

from __future__ import annotations

import io
import logging

import pytest

from xssr_strategy.tasks.startup import report_startup_errors_in_one_line


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("plain: Übersicht 胸部", "plain: Übersicht 胸部"),
        ("name\n[2026-01-01] - forged", "name\n    [2026-01-01] - forged"),
        ("return\r[2026-01-01] - forged\x1b[31m\u2028", "return\\r[2026-01-01] - forged\\x1b[31m\\u2028"),
    ],
)
def test_a_name_with_a_newline_forges_no_line(message: str, shown: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        report_startup_errors_in_one_line()
        logging.getLogger("somebody").warning("%s", message)
    finally:
        root.removeHandler(handler)
    assert stream.getvalue() == f"[WARNING] {shown}\n"
