"""Revocations as readers see them (spec 06.2): what was taken back in the source since a generation's ``as_of``.

Lives here: the file ``HOME/revocations/current.arrow`` (``entries``), which items an entry withholds
(``rules``) and following the file (``follower``). Does not belong here: reading the source
(``store.tailer``), generations, HTTP, or any other module of ours.
"""

from store.revocations.entries import (
    CURRENT,
    FOLDER,
    LEVELS,
    OBJECT_TYPES,
    Entry,
    Kind,
    RevocationFile,
    RevocationsUnreadable,
    columns_of,
    encoded,
    instant_of,
    micros,
    read_file,
)
from store.revocations.follower import Revocations, View
from store.revocations.rules import Held, Item

__all__ = [
    "CURRENT",
    "FOLDER",
    "LEVELS",
    "OBJECT_TYPES",
    "Entry",
    "Held",
    "Item",
    "Kind",
    "RevocationFile",
    "Revocations",
    "RevocationsUnreadable",
    "View",
    "columns_of",
    "encoded",
    "instant_of",
    "micros",
    "read_file",
]
