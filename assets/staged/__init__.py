"""Typed, deduplicated, erased: the tables every product reads."""
