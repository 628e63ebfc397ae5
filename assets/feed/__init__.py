"""Precomputed feeds (spec 03)."""
