"""The one exception whose text is meant for people, and how a name is written into such a text."""


class UserError(ValueError):
    """Something that the person at the keyboard can mend.

    The message is one sentence that names the file or key and the remedy; the command line and the
    server print it alone, without a traceback.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """The text in one line: what would steer a terminal or begin a line of its own is escaped (``\\n``, ``\\x1b``).

    File names may hold anything but a slash, and logs are read by line.
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
