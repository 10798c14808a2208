"""Conditions of requests: comparisons of columns, without functions that could take memory."""

import re

from seqrec.errors import SeqRecError

TOKENS = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\w+(?:\.\d+)?|\s+|.", re.DOTALL)
SIGNS = frozenset("()=<>!,-")
BEFORE_PARENTHESIS = frozenset("and or not in where between like".split())
"""Words that may stand before a parenthesis; any other one would call a function."""
REFUSED_WORDS = frozenset("select exists case cast regexp rlike from union".split())


def check_condition(condition: str) -> str:
    """Return a condition that compares columns with values; refuse any other SQL.

    Allowed are names, values, comparisons, ``AND``, ``OR``, ``NOT``, ``IN``, ``BETWEEN``, ``LIKE``,
    ``IS NULL``, ``contains`` and parentheses.

    Raises:
        SeqRecError: a function, an operator that computes, or a query.
    """
    tokens = [token for token in TOKENS.findall(condition) if not token.isspace()]
    before = ""
    for token in tokens:
        is_word = token[0] in "'\"" or token[0].isalnum() or token[0] == "_"
        if token.lower() in REFUSED_WORDS or (not is_word and token not in SIGNS):
            raise SeqRecError(f"where: {token} is not allowed; compare columns with values")
        if token == "(" and before and before not in BEFORE_PARENTHESIS and before not in SIGNS:
            raise SeqRecError(f"where: {before}(...) is not allowed; compare columns with values")
        before = token.lower()
    return condition
