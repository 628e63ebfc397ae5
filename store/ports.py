"""Whether a TCP port may be served on, and holding it while one serves.

Granian's workers share their port by SO_REUSEPORT, and the kernel lets every other process of the same user share
it too: two servers would then answer by turns, each from a home of its own. Lives here: the refusal of that. Does
not belong here: serving. The standard library only: the API imports it.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TAKEN: Final = (errno.EADDRINUSE, errno.EACCES)


class PortTaken(Exception):
    """The port cannot be served on; the message names it and says what to do."""


def check_port(address: str, port: int) -> int:
    """The port, or a free one for 0; raises :class:`PortTaken` when another process listens on it.

    Any other ``OSError`` (an address that is not this machine's) is left as it is.
    """
    family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # What was served here a moment ago may linger (TIME_WAIT); whoever listens is refused all the same,
        # because this socket does not share its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            raise PortTaken(_told(address, port, error.errno)) from error
        return int(probe.getsockname()[1])


@contextmanager
def claimed_port(address: str, port: int) -> Iterator[int]:
    """Hold a port that :func:`check_port` finds free, against any other claim, until the block ends.

    Between the look and the moment our workers listen nobody can be seen on the port. So that of two servers that
    start at once one is refused, each claims a name first, which the kernel gives to one process and frees with it.
    """
    found = check_port(address, port)
    with socket.socket(socket.AF_UNIX) as name:
        if sys.platform == "linux":  # elsewhere the server's one socket is bound once, without sharing
            try:
                name.bind(f"\0flowforge-{address}-{found}")
            except OSError as error:
                raise PortTaken(_told(address, found, error.errno)) from error
            check_port(address, found)  # whoever held the name before may be listening by now
        yield found


def _told(address: str, port: int, reason: int | None) -> str:
    what = "this user may not listen there" if reason == errno.EACCES else "another process listens there"
    return (
        f"port {port} of {address} cannot be served on: {what}. Stop it, or choose another port: "
        "`--port N` (0 = any free one) or FLOWFORGE_API__PORT"
    )
