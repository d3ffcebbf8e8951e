"""New action ids in recorded requests, so that an endpoint that knows the old ones takes the requests again.

An id is found by running the notification's templates backwards, and only there replaced: byte for byte, in URL and
body. What does not match its template, or could be read in another way as well, is left as it is.
"""

import hashlib
import re
from collections.abc import Collection, Mapping

import msgspec

from postback_conformance.explaining.dissection import Dissection, dissect
from postback_conformance.explaining.explanation import Part
from postback_receiver import Capture
from postback_sender import Notification, Template

Places = tuple[tuple[int, int, str], ...]
"""Where ids stand, as (first, beyond last, id) in reading order."""

# What ties the postbacks of one action together, or else of one inquiry, request or job.
_IDS = ("ActionId", "Id")
_LAST_NUMBER = re.compile(r"[0-9]*\Z")
# What digits after it would belong to: percent-encoding, an escape of JSON, a reference of XML.
_ESCAPE_BEGUN = re.compile(rb"(?:%[0-9A-Fa-f]?|\\u[0-9A-Fa-f]{0,3}|&#[xX]?[0-9A-Fa-f]*)\Z")
# Below 2**53: also a JavaScript endpoint that reads it as a number keeps every digit.
_NUMBERS = (10**14, 9 * 10**14)


class IdPlaces(msgspec.Struct, frozen=True):
    """Where in a request ids stand."""

    target: Places = ()
    body: Places = ()

    def __bool__(self) -> bool:
        return bool(self.target or self.body)


def find_ids(capture: Capture, notification: Notification) -> IdPlaces:
    """Return where the ids of a capture stand by its notification; nowhere unless every part that has one matches."""
    for wanted in _IDS:
        in_target = _places(notification, notification.url, capture.target.encode("latin-1"), "url", wanted)
        in_body = _places(notification, notification.body, capture.body, "body", wanted)
        if in_target is None or in_body is None:
            return IdPlaces()
        if in_target or in_body:
            return IdPlaces(in_target, in_body)
    return IdPlaces()


def fresh_number(old: str, *, seed: int, round_number: int) -> str:
    """Return the digits that make an id new, the same wherever they are asked for."""
    digest = hashlib.blake2b(f"{seed}/{round_number}/{old}".encode("utf-8", "replace"), digest_size=8).digest()
    first, count = _NUMBERS
    return str(first + int.from_bytes(digest) % count)


def with_fresh_ids(target: str, body: bytes, places: IdPlaces, *, seed: int, round_number: int) -> tuple[str, bytes]:
    """Return a request target and a body with new ids, and every other byte as it was.

    The digits take the place of an id's last number, or stand after it where that is not written plainly. However the
    rest of an id is escaped, it stays so.
    """
    url = target.encode("latin-1")
    written = [
        (old, data[first:beyond])
        for data, part in ((url, places.target), (body, places.body))
        for first, beyond, old in part
    ]
    plain = {old for old, _ in written} - {old for old, text in written if not _ends_plainly(text, old)}
    new = {old: fresh_number(old, seed=seed, round_number=round_number).encode() for old, _ in written}
    changed = _replaced(url, places.target, new, plain)
    return changed.decode("latin-1"), _replaced(body, places.body, new, plain)


def _last_number(old: str) -> bytes:
    found = _LAST_NUMBER.search(old)
    return found[0].encode() if found else b""


def _ends_plainly(written: bytes, old: str) -> bool:
    """Tell whether an id ends with its last number as it is, and not with digits of an escape."""
    number = _last_number(old)
    return written.endswith(number) and not _ESCAPE_BEGUN.search(written[: len(written) - len(number)])


def _places(
    notification: Notification, template: Template | None, data: bytes, part: Part, wanted: str
) -> Places | None:
    """Return where a token stands in a part; None when its template has the token but cannot tell where."""
    vocabulary = notification.url.vocabulary(notification.known_tokens)

    def is_wanted(name: str) -> bool:
        return vocabulary.spelled(name, "") == wanted

    if template is None or not any(map(is_wanted, template.names)):
        return ()
    found = dissect(notification, data, part)
    if not isinstance(found, Dissection):
        return None
    # A join may hold the id once for each item.
    values = [*found.values, *(value for item in found.items for value in item)]
    ids = [value for value in values if is_wanted(value.token)]
    if not all(value.certain and value.replaced and value.value for value in ids):
        return None
    return tuple(sorted((*value.span, value.value) for value in ids))


def _replaced(data: bytes, places: Places, new: Mapping[str, bytes], plain: Collection[str]) -> bytes:
    pieces: list[bytes] = []
    position = 0
    for _, beyond, old in places:
        kept = beyond - len(_last_number(old)) if old in plain else beyond
        pieces += data[position:kept], new[old]
        position = beyond
    return b"".join((*pieces, data[position:]))
