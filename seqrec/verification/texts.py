"""Random texts in many scripts, with emoji, odd blanks, and spellings of special tokens."""

from collections.abc import Sequence

import numpy as np

SCRIPTS = {
    "latin": (0x41, 0x17F),
    "greek": (0x391, 0x3C9),
    "cyrillic": (0x410, 0x44F),
    "armenian": (0x531, 0x556),
    "hebrew": (0x5D0, 0x5EA),
    "arabic": (0x627, 0x64A),
    "devanagari": (0x905, 0x939),
    "bengali": (0x985, 0x9B9),
    "tamil": (0xB85, 0xBB9),
    "thai": (0xE01, 0xE30),
    "georgian": (0x10D0, 0x10F0),
    "hangul": (0xAC00, 0xD7A3),
    "ethiopic": (0x1200, 0x1248),
    "khmer": (0x1780, 0x17A2),
    "hiragana": (0x3041, 0x3096),
    "katakana": (0x30A1, 0x30FA),
    "han": (0x4E00, 0x9FFF),
    "mathematical": (0x1D400, 0x1D44F),
    "emoji": (0x1F300, 0x1F64F),
    "private": (0xE000, 0xE0FF),
}
"""First and last code point of stretches that hold letters, or pictures."""
PIECES = (
    "👩‍👩‍👧‍👦",
    "👍🏽",
    "🇩🇪",
    "e\u0301",
    "ﬁ",
    "ß",
    "İ",
    "\u00a0",
    "\u200d",
    "\u2028",
    "\ufeff",
    "%3C",
    "<",
    ">",
    "<<",
    "\t",
    "--",
    "'s",
    "12,345.67",
)
"""Joined emoji, combining marks, letters that change in another case, odd blanks, and signs of
markup."""
MOST_WORDS, MOST_LETTERS = 8, 9


def draw_texts(num_texts: int, special: Sequence[str], generator: np.random.Generator) -> list[str]:
    """Return random texts of one to a few words.

    Args:
        num_texts: number of texts.
        special: spellings of tokens that have a meaning, which some texts hold.
        generator: draws all of them.
    """
    stretches = list(SCRIPTS.values())
    texts = []
    for _ in range(num_texts):
        words = []
        for _ in range(int(generator.integers(1, MOST_WORDS))):
            kind = generator.random()
            if kind < 0.15 and special:
                words.append(special[int(generator.integers(len(special)))])
            elif kind < 0.3:
                words.append(PIECES[int(generator.integers(len(PIECES)))])
            else:
                first, last = stretches[int(generator.integers(len(stretches)))]
                letters = generator.integers(first, last + 1, generator.integers(1, MOST_LETTERS))
                words.append("".join(map(chr, letters)))
        gap = " " if generator.random() < 0.8 else ""
        texts.append(gap.join(words))
    return texts
