"""The partner's own package for incoming postbacks, under the name our source folder has too."""


class Received:
    """One postback as this partner stores it."""

    def __init__(self, click: str) -> None:
        self.click = click
