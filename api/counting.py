"""The name of the folder in which several workers share their counts.

A module of its own because ``prometheus_client`` decides when it is imported, so whoever sets the variable
(``api.server``) must not import what imports it (``api.instruments``).
"""

from typing import Final

COUNTS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
