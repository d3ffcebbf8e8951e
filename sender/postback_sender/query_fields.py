"""The brand's variant of Action Inquiry: fields picked with check boxes, where other kinds have a URL template.

That a brand picks query strings with check boxes is official (help centre, "Enable event notification postbacks for
brands"). Which boxes there are is not public: that they are the tokens of the kind, and that the parameter of a field
is called like its token, is inferred.
"""

from collections.abc import Sequence

from postback_sender.tokens import Catalogue


def url_with_fields(url: str, fields: Sequence[str]) -> str:
    """Return the URL template that sends these fields: `name={name}` for each, in order, after the URL's own query."""
    if not fields:
        return url
    address, hash_, fragment = url.partition("#")
    joint = "" if address.endswith(("?", "&")) else "&" if "?" in address else "?"
    return f"{address}{joint}{'&'.join(f'{name}={{{name}}}' for name in fields)}{hash_}{fragment}"


def problem_with_fields(fields: Sequence[str], event: str, catalogue: Catalogue) -> str:
    """Say why these fields cannot be picked for this kind, or nothing."""
    if catalogue.kinds[event].like != "action_inquiry":
        return f"only an action_inquiry has fields to pick, and this is of {event}; write tokens into the url instead"
    for index, field in enumerate(fields):
        token = catalogue.find(event, field)
        if token is None or token.type == "list":
            hint = catalogue.nearest(event, field)
            return f"{field!r} is no token of {event}" + (f'; did you mean "{hint}"?' if hint else "")
        if field in fields[:index]:
            return f"{field!r} stands there twice; keep one"
    return ""
