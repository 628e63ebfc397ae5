"""Friend recommendations (spec 02)."""
