"""The registry: table name → contract. Every staged and product table is in it, once."""

from __future__ import annotations

from quality.contract import Contract
from quality.staged import STAGED

REGISTRY: dict[str, Contract] = {contract.name: contract for contract in STAGED}
