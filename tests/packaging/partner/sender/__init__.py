"""The partner's own package for outgoing messages."""


def greeting(name: str) -> str:
    return f"Thank you, {name}"
