"""Notification digests (spec 04)."""
