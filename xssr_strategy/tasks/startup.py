"""How a process of the server starts and logs, and how it refuses to start: with one line, not with a traceback."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from xssr_strategy.errors import UserError, printable
from xssr_strategy.images import left_out
from xssr_strategy.storage.disk_errors import FAILURES, describe_disk_error

_INDENT = "    "


class StartupError(RuntimeError):
    """The server cannot start as asked; the message is one sentence that says what is allowed."""


class _OneLine(logging.Filter):
    """Reduces the report of a refused start to its sentence.

    The web server logs whatever an app raises at start-up as a traceback; this filter keeps its last line.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        _, marker, sentence = record.getMessage().rpartition(f"{StartupError.__name__}: ")
        if marker:
            record.msg, record.args, record.exc_info = sentence.strip(), (), None
        return True


class _Indented(logging.Filter):
    """Indents all lines of a message but the first, and escapes what else steers a terminal.

    Names of files and what clients send stand in messages, MONAI Label's too; no name with a newline in it may begin a
    line of the log and pass for a record.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not message.isprintable():
            lines = [printable(line.removeprefix(_INDENT)) for line in message.split("\n")]
            record.msg, record.args = f"\n{_INDENT}".join(lines), ()  # several handlers change nothing more
        return True


_filter = _OneLine()
_indented = _Indented()


@contextmanager
def startup_errors() -> Iterator[None]:
    """Whatever is raised inside that people can mend becomes a ``StartupError``."""
    try:
        yield
    except UserError as error:
        raise StartupError(str(error)) from None
    except FAILURES as error:
        if (sentence := describe_disk_error(error)) is None:
            raise
        raise StartupError(sentence) from None


def report_startup_errors_in_one_line() -> None:
    """From here on a ``StartupError`` is one line, in a background process a ``UserError`` too, and none is forged.

    What the folders hold that is left out, the server tells alone.
    """
    for handler in logging.getLogger().handlers:
        handler.addFilter(_indented)
    logging.getLogger("uvicorn.error").addFilter(_filter)  # a filter is kept once, however often it is added
    if in_background_process():
        sys.excepthook = _print_one_line
        logging.getLogger(left_out.__name__).setLevel(logging.ERROR)


def _print_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, StartupError | UserError):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def in_background_process() -> bool:
    """Whether this is a process that MONAI Label started for scoring or training, not the server."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == "monailabel.interfaces.utils.app"
