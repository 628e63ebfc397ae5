"""The registry: table name → contract. Every staged and product table is in it, once."""

from __future__ import annotations

from quality.contract import Contract
from quality.digests import DIGESTS
from quality.feed import FEED
from quality.friends import FRIENDS
from quality.premium import PREMIUM
from quality.staged import STAGED

REGISTRY: dict[str, Contract] = {contract.name: contract for contract in (*STAGED, *FRIENDS, *FEED, *DIGESTS, *PREMIUM)}
