"""Accepted products as one immutable generation (spec 06.1)."""
