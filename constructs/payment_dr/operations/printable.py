"""Makes foreign text safe to print. Text from AWS, a probe or a resource's name must not control a terminal."""


def printable(text: str, *, lines: bool = False) -> str:
    """Replace each invisible character by its escape, such as that of ESC.

    Those are control characters, which a terminal obeys, and Unicode's format characters, some of which change the
    direction of the text after them. Spaces, letters, signs and symbols stay as they are.

    Args:
        text: Any text.
        lines: Whether line feeds stay. In a message of one line they would begin another message.
    """
    return "".join(
        each if each.isprintable() or (lines and each == "\n") else each.encode("unicode_escape").decode()
        for each in text
    )
