"""The one exception that the command line shows as a single line, without a traceback."""


class FacecloakError(Exception):
    """A mistake that a user can fix. The message says what was wrong, where, and what to do."""
