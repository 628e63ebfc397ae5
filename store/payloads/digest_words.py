"""Why a digest was not built, in words: what the product writes and what explains it read (spec 04.2).

Pure. Does not belong here: when a reason holds (``assets.digests.status``).
"""

from collections.abc import Mapping
from typing import Final

NOT_BUILT: Final[Mapping[str, str]] = {
    "no_occurrence": "this date does not exist in the reader's time zone",
    "paused": "the reader paused this digest",
    "skipped_gap": "too soon after the last digest",
    "expired": "missed by too long; the next digest covers it",
    "skipped_empty": "nothing new",
    "skipped_below_min": "fewer groups than the reader asks for",
}
"""By status."""
