"""The subcommands of ``xssr``, one per file."""
