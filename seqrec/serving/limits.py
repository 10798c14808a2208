"""The largest sizes that a request may have; larger ones are refused."""

MAX_HISTORIES = 256
MAX_EVENTS = 2000
"""Items or events of a history."""
MAX_KEYS = 64
"""Features of an event, and conditions of a request."""
MAX_LETTERS = 512
"""Letters of an id, a feature's value, a condition or a search."""
MAX_TEXT = 2000
"""Letters of a request in words."""
MAX_CONDITIONS = 32
"""Conditions of such a request."""
MAX_K = 1000
MAX_IDS = 10_000
"""Ids of an allow-, exclude- or candidate list."""
MAX_EXPLAINED = 50
"""Items of a request for evidence."""
MAX_SENTENCES = 10
"""The same with sentences, for which many shortened histories are ranked."""
MAX_RULES = 16
"""Caps, and pins."""
MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_KB = 256
"""Default limit of a body, in KiB."""
HEADER_SECONDS = 10.0
"""Time in which the headers of a request must arrive."""
BODY_SECONDS = 10.0
"""Time in which its body must arrive."""
KEEP_ALIVE_SECONDS = 30
MAX_CONNECTIONS = 4096
DRAIN_SECONDS = 10
"""Longest wait for requests that are being answered when the server ends."""
