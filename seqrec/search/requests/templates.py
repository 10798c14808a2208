"""Templates of synthesised requests, by the facts that they name; the last ones are held out."""

from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of request: the facts that it names, and its wordings."""

    facts: tuple[str, ...]
    weight: float
    """Its share among the kinds for which an item has the facts, before they are normalised."""
    templates: tuple[str, ...]
    """Wordings of training; ``{0}`` is the first fact."""
    held_out: tuple[str, ...]
    """Wordings of validation alone."""


KINDS = (
    Kind(
        ("tag",),
        6,
        (
            "{0}",
            "something {0}",
            "a movie about {0}",
            "{0} movie",
            "I am in the mood for {0}",
            "films tagged {0}",
            "any {0} films?",
        ),
        ("looking for {0} tonight", "what is a good {0} one"),
    ),
    Kind(
        ("tag", "other_tag"),
        2,
        ("{0}, {1}", "{0} and {1}", "something {0}, also {1}", "a {0} film with {1}"),
        ("it should be {0} as well as {1}",),
    ),
    Kind(
        ("tag", "genre"),
        1,
        ("a {1} film, {0}", "{1} with {0}", "{0} {1}"),
        ("recommend me {1} that is {0}",),
    ),
    Kind(
        ("genre",),
        1,
        ("{0}", "a {0} movie", "some {0} for tonight", "good {0} films"),
        ("I feel like {0}",),
    ),
    Kind(
        ("genre", "decade"),
        1,
        ("{0} from the {1}", "{1} {0}", "a {0} film of the {1}"),
        ("what {0} was made in the {1}",),
    ),
    Kind(
        ("genre", "other_genre"),
        0.5,
        ("{0} and {1}", "a mix of {0} and {1}"),
        ("both {0} and {1}, please",),
    ),
    Kind(
        ("person",),
        1,
        ("with {0}", "{0}", "films by {0}", "a movie starring {0}"),
        ("anything that {0} was in",),
    ),
    Kind(
        ("sentence",),
        3,
        ("{0}", "the one where {0}", "I remember a film: {0}", "what is the movie in which {0}"),
        ("help me find it. {0}",),
    ),
    Kind(
        ("sentence", "decade"),
        1,
        ("from the {1}: {0}", "{0} It was made in the {1}.", "a {1} movie. {0}"),
        ("I saw it in the {1}, I think. {0}",),
    ),
)
"""Shares and wordings were written down before anything was trained."""
