"""Premium usage metrics (spec 05)."""
