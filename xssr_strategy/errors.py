"""The exceptions whose text is meant for people, how a name is written into such a text, and want of memory."""


class UserError(ValueError):
    """Something that the person at the keyboard can mend.

    The message is one sentence that names the file or key and the remedy; the command line and the
    server print it alone, without a traceback.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class TooLargeError(UserError):
    """What was asked for does not fit into memory."""


def memory_error(error: BaseException) -> BaseException | None:
    """The failed allocation behind an error, such as MONAI's of a transform; None if there is none.

    PyTorch's are of ``RuntimeError``, of which only the text tells.

    >>> memory_error(RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"))
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
    >>> memory_error(RuntimeError("shapes differ")) is None
    True
    """
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, UserError):  # which says more
        if isinstance(reason, MemoryError) or (isinstance(reason, RuntimeError) and "alloc" in str(reason)):
            return reason
        reason = reason.__cause__
    return None


def printable(text: str) -> str:
    """The text in one line: what would steer a terminal or begin a line of its own is escaped (``\\n``, ``\\x1b``).

    File names may hold anything but a slash, and logs are read by line.
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
