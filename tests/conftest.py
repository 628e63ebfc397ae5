"""Fixtures of every room, by import; the hypothesis profiles."""

import os

from hypothesis import settings

from tests.support.postgres import fresh_database, new_database, postgres_server

__all__ = ["fresh_database", "new_database", "postgres_server"]

# The machines are slow and shared: no test asserts wall time, so hypothesis must not either.
# By default every run tries the same examples, so that a change is judged by what it changes; the nightly one explores.
settings.register_profile("default", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("nightly", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
