"""The one exception that the command line shows as a single line, without a traceback."""


class FacecloakError(Exception):
    """A mistake that a user can fix. The message says what was wrong, where, and what to do.

    Example:
        >>> from facecloak import load_suite
        >>> try:
        ...     load_suite("poket")
        ... except FacecloakError as error:
        ...     print(str(error).partition(" Known")[0])
        There is no suite named 'poket'. Did you mean 'pocket'?
    """
