"""The seeded generator of worlds: people, friendships, posts, notifications, subscriptions, usage (spec 01.2).

``generate_world`` writes a world folder that ``flowforge source load`` takes. Same arguments, same
bytes. Each module makes one part of life; words and names are in ``data``.
"""

from store.generator.clock import DEFAULT_AS_OF
from store.generator.world import GeneratedWorld, generate_world

__all__ = ["DEFAULT_AS_OF", "GeneratedWorld", "generate_world"]
