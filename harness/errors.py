"""The one exception a user is meant to read: one line that names the thing and the remedy. Knows nothing of who shows it."""


class AssayError(Exception):
    """A wrong request or a broken file; its message is one line: what is wrong, and what to do."""
