"""What clients read: API v2, and v1 as an adapter over it (spec 06).

Does not belong here: computing anything, or writing anything but the answers themselves.
"""
