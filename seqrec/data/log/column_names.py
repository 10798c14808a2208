"""Names that the columns of a log commonly have, and the words that they are made of."""

import re

COMMON_NAMES = {
    "user": """user userid uid customer customerid client clientid member memberid account accountid
        profile profileid viewer viewerid visitor visitorid reviewer reviewerid person personid
        """.split(),
    "item": """item itemid iid aid movie movieid film filmid show showid video videoid titleid
        product productid asin parentasin sku stockcode article articleid track trackid song songid
        book bookid isbn content contentid business businessid title""".split(),
    "time": """timestamp time ts unixreviewtime unixtime unixtimestamp datetime date eventtime
        eventtimestamp eventdate watchedat viewedat ratedat createdat reviewtime when""".split(),
    "rating": "rating ratings score stars star overall grade".split(),
}
"""Common names of each column, the most specific first; letters and digits only, lower case."""

SESSION_NAMES = ("session", "sessionid", "visit", "visitid")
"""Names of the user's column in a log of sessions that has no column of users."""

_WORDS = {
    "user": """user customer client member account profile viewer visitor reviewer person
        """.split(),
    "item": """item movie film show video product asin sku article track song book business
        """.split(),
    "time": """time timestamp ts date datetime dt dat day epoch unix utc when at created creation
        added played listened watched viewed visited purchased clicked started""".split(),
}
_ORDER_WORDS = set("position pos rank seq sequence order ordinal step index idx turn".split())
_ID_WORDS = set("id ids key code uuid guid hash no num number ref".split())
_TIME_ENDS = ("time", "date", "timestamp", "datetime")
_OTHER_TIMES = set(
    """release released birth birthday born dob signup registered registration joined publish
    published publication expires expiry expiration updated update modified deleted
    """.split()
)
"""Words of times that are rarely the time of an interaction."""


def simplify_name(name: str) -> str:
    """Return a column's name in lower case, without spaces, dashes and underscores."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def is_common_name(name: str) -> bool:
    """Return True if the name is a common one."""
    return any(simplify_name(name) in names for names in COMMON_NAMES.values())


def names_an_id(name: str, role: str) -> bool:
    """Return True if a name says that its column holds the ids of users or of items."""
    words = _split_words(name)
    return not words.isdisjoint(_WORDS[role]) and not words.isdisjoint(_ID_WORDS)


def names_a_time(name: str) -> bool:
    """Return True if a name says that its column holds times of interactions."""
    words = _split_words(name)
    if not words.isdisjoint(_OTHER_TIMES):
        return False
    simple = simplify_name(name)
    return simple.endswith(_TIME_ENDS) or not words.isdisjoint(_WORDS["time"])


def names_an_order(name: str) -> bool:
    """Return True if a name says that its column numbers the events of a user."""
    words = _split_words(name)
    return not words.isdisjoint(_ORDER_WORDS) or words == {"event", "no"}


def names_another_time(name: str) -> bool:
    """Return True if a name says that its column holds times of something else."""
    return not _split_words(name).isdisjoint(_OTHER_TIMES)


def may_name_a_time(name: str) -> bool:
    """Return True unless a name says that its column holds ids."""
    words = _split_words(name)
    return words.isdisjoint(_ID_WORDS) and words.isdisjoint(("session", "order", "price"))


def _split_words(name: str) -> set[str]:
    """Return the words of a name such as ``clickTimestamp_ms``, in lower case."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return set(re.findall(r"[a-z]+", spaced.lower()))
