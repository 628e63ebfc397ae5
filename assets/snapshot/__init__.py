"""The source as it stood at one instant."""
