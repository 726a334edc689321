"""The one exception whose text is meant for people."""


class UserError(ValueError):
    """Something that the person at the keyboard can mend.

    The message is one sentence that names the file or key and the remedy; the command line and the
    server print it alone, without a traceback.
    """
