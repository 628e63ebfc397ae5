"""The code version of a product: the release and a hash of the sources that compute it.

A product is reused only when its code is the same (spec 00, fingerprint); hashing the sources
means that nobody has to remember to raise a number.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


ALSO: dict[str, tuple[str, ...]] = {
    "staged": ("quality/rejects.py",),
    "friends": ("assets/compiled.py",),
    "feed": ("assets/compiled.py",),
    "digests": ("assets/local_time.py", "store/zones.py", "store/payloads/digest_words.py"),
    "premium": ("store/zones.py",),
    "published": (
        "assets/compiled.py", "assets/digests/allowed.py", "assets/feed/kernels.py", "assets/friends",
        "quality/feed.py", "quality/truths.py",
        "store/datasets.py", "store/payloads", "store/serving",
    ),
}  # fmt: skip
"""Sources outside its folder that decide a product's bytes."""


@cache
def code_version_of(product: str) -> str:
    """``<release>+<8 hex>`` over ``assets/<product>/``, its contracts and the frame they share."""
    roots = [ROOT / "assets" / product, *(ROOT / path for path in ALSO.get(product, ()))]
    inside = [p for root in roots for p in (root.rglob("*") if root.is_dir() else [root])]
    sources = [p for p in inside if p.is_file() and "__pycache__" not in p.parts]
    sources += [ROOT / "assets" / "frame.py", ROOT / "quality" / "contract.py", ROOT / "quality" / "types.py"]
    sources += [p for p in (ROOT / "quality").glob("*.py") if p.stem == product]
    # Zone rules decide instants, so another tzdata is another code.
    digest = hashlib.sha256(f"tzdata {version('tzdata')}".encode())
    for path in sorted(sources):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{version('flowforge')}+{digest.hexdigest()[:8]}"
