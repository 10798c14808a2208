"""Templates of synthesised requests, by the facts that they name; some of each are held out."""

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
"""One sentence. Shares and wordings were written down before anything was trained."""
CONVERSATIONS = (
    Kind(
        ("like",),
        2,
        (
            "I loved {0}, can you recommend something like it?",
            "Hi! What kind of movies do you like? I really liked {0}. Do you know any others?",
            "Have you seen {0}? Yes, I saw it and it was great. Any other ones you can think of?",
            "hello I am looking for a movie to watch tonight similar to {0}",
            "I watched {0} last week, I enjoyed it. What should I watch next?",
            "My favorite is {0}. Hope you can suggest a good one",
        ),
        (
            "Hey there, how are you? Good, thanks! I just saw {0} and would like more of that.",
            "{0} is a classic, I would definitely enjoy anything close to it.",
        ),
    ),
    Kind(
        ("like", "other_like"),
        1,
        (
            "I like {0} and also {1}, great movies. Any recommendations?",
            "Have you seen {0}? I have, it was good. What about {1}? Yes! I love that movie.",
            "Movies like {0} or {1} please, what would you suggest?",
            "I liked {0}, looking for something like it but I have seen {1} already.",
        ),
        ("Hi. Tell me what you like. {0}, {1}, that sort of thing. Okay, let me think.",),
    ),
    Kind(
        ("like", "genre"),
        1,
        (
            "I'm looking for some good {1}. Something like {0}. I love that movie.",
            "What type of films do you like? {1} mostly, just watched {0} again.",
            "I'd like to see a {1} this weekend, similar to {0}",
            "Do you like {1}? Yes I do. Try {0}. I have seen it already, do you have another one?",
        ),
        ("Great, do you have any {1} suggestions? Sure, there's {0}. Seen it, and I liked it.",),
    ),
    Kind(
        ("like", "tag"),
        1,
        (
            "I liked {0}, looking for something like it but {1}",
            "I enjoyed {0}. Now I want a film with {1}, any ideas?",
            "Did you see {0}? No, not my thing, I would rather have {1}.",
        ),
        ("Hello! {0} was alright. Do you know one that is more {1}?",),
    ),
    Kind(
        ("genre",),
        1,
        (
            "Hi! What types of movies do you like? I like {0}. Can you suggest any good ones?",
            "Hello, I am open to anything but I like {0}. What films should I watch?",
            "Hey! What are you in the mood for? {0} would be great, thank you!",
            "I'm looking for {0} movies to watch with my family. Sure! Have you seen any lately?",
        ),
        ("hi there! I would like to recommend some movies to you. Okay, how about {0}?",),
    ),
    Kind(
        ("tag", "genre"),
        1,
        (
            "Hi! What kind of movies are you looking for? I like {1}, maybe about {0}.",
            "Hello, can you help me find a {1}? Sure, what should it have? {0}, if you know one.",
        ),
        ("Good evening. Any preference? {1} usually, and I am into {0} these days.",),
    ),
    Kind(
        ("person", "genre"),
        1,
        (
            "Hi, do you know a good {1} with {0}? I have seen most of those movies.",
            "What do you like? {1}, anything with {0} is great.",
        ),
        ("Who is your favorite? I think {0} is hilarious. Then let's find you a {1}.",),
    ),
)
"""Turns of two people, one after the other. ``like`` is the title of another item that shares rare
facts. They were written after turns of ReDial for development had been read."""
