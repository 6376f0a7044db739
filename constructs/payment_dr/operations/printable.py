"""Text of others as a person may see it. What AWS, a probe or a resource's name says must not command a terminal."""


def printable(text: str, *, lines: bool = False) -> str:
    """The text with each character that cannot be seen replaced by its escape, such as that of ESC.

    Those are the control characters, which a terminal obeys, and the formats of Unicode, some of which change the
    direction of the text that follows. A space, letters, signs and symbols stay as they are.

    Args:
        text: Any text.
        lines: Whether line feeds stay. In a message of one line they would begin another message.
    """
    return "".join(
        each if each.isprintable() or (lines and each == "\n") else each.encode("unicode_escape").decode()
        for each in text
    )
