"""What reading a file raises: damage of its content, or trouble that passes.

Damage belongs to the file and becomes records with reasons. A disk, a network or a store that fails says
nothing of the file: booked as damage it would stay in the listing for good, so it ends the run instead.
"""

from __future__ import annotations

import pyarrow as pa

UNREADABLE = (pa.ArrowException, OSError)
"""What reading raises, for either cause."""


def why_damaged(error: Exception, where: str) -> str:
    """What is wrong with a file, in one line.

    Args:
        error: one of UNREADABLE.
        where: such as `from line 7 on`.

    Raises:
        OSError: the error itself, where it is of the disk, the network or the store.
    """
    # Arrow's own errors of input have no number of the operating system.
    if isinstance(error, OSError) and (error.errno is not None or isinstance(error, _PASSING)):
        raise error
    return f"not readable {where}: {one_line(error)}"


def one_line(error: Exception) -> str:
    """An error's words, cut off where they are many."""
    return " ".join(str(error).split())[:200]


_PASSING = (TimeoutError, ConnectionError)
