"""Text from data, made safe for a terminal, a text log and the labels of a figure."""

from __future__ import annotations

import unicodedata

# Controls (escapes, newlines), format characters (bidirectional overrides, invisible ones), surrogates (file names that
# are not UTF-8), private and unassigned characters, and the separators that some programs take for a new line.
UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
JOINERS = frozenset("\u200c\u200d")  # harmless, and part of emoji and of Persian and Indian words


def visible(text: str) -> str:
    r"""Return a text on one line in which every character that steers a terminal is written out, as in `\x1b`.

    Every string that comes from data (names, URIs, captions, details, messages of libraries) passes through here before
    it reaches a terminal or a text log: it can neither forge a line, nor hide or reorder what stands beside it.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_safe(c) else c.encode("unicode_escape").decode() for c in text)


def _is_safe(character: str) -> bool:
    return character in JOINERS or unicodedata.category(character) not in UNSAFE
