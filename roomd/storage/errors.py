"""Errors of a database file, for the operator."""


class StoreError(Exception):
    """The database, or a backup of it, cannot be used. The text names the file, the reason and what to do."""


class StoreBusy(StoreError):  # noqa: N818 - a state, not a mistake
    """It cannot be used now, for a reason that may pass."""


class StoreDamaged(StoreError):  # noqa: N818 - a state, not a mistake
    """The file is damaged, and a backup is the remedy."""
