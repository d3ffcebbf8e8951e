"""Which endpoint takes a request: the longest path prefix, cut at whole path segments."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from postback_receiver.reply import Replies, Reply
from postback_receiver.reply_script import always


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One place where postbacks arrive.

    `/a` takes `/a`, `/a/` and `/a/b`, but not `/ab`; `/` takes every path. Prefixes are compared as sent, still
    percent-encoded. `settings` is text of the caller's own that a store keeps beside the captures, so that they can be
    judged later against what was agreed when they arrived.
    """

    prefix: str = "/"
    replies: Replies = field(default_factory=lambda: always(Reply()))
    settings: bytes | None = None

    def __post_init__(self) -> None:
        _check_types(self.prefix, self.replies)
        if not self.prefix.startswith("/") or "?" in self.prefix:
            raise ValueError(f"an endpoint's prefix is a path that starts with /, without a query, not {self.prefix!r}")

    @property
    def segments(self) -> str:
        """The prefix without a trailing slash: what two endpoints must not share."""
        return self.prefix.rstrip("/")


def _check_types(prefix: object, replies: object) -> None:
    """Raise TypeError for what would only fail when a request arrives."""
    if not isinstance(prefix, str):
        raise TypeError(f"an endpoint's prefix: expected a text, got {prefix!r:.100}")
    if not callable(replies):
        raise TypeError(f"an endpoint's replies: expected a function such as always(Reply()), got {replies!r:.100}")


class EndpointTable:
    """The endpoints of one receiver."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._longest_first = sorted(endpoints, key=lambda endpoint: len(endpoint.segments), reverse=True)
        # Matching is done for every request, so what it compares with is made once.
        self._starts = [(endpoint.segments, endpoint.segments + "/", endpoint) for endpoint in self._longest_first]
        self._by_prefix = {endpoint.prefix: endpoint for endpoint in self._longest_first}
        taken: set[str] = set()
        for endpoint in self._longest_first:
            if endpoint.segments in taken:
                raise ValueError(f"two endpoints share the prefix {endpoint.prefix!r}; give each its own")
            taken.add(endpoint.segments)

    def match(self, path: str) -> Endpoint | None:
        """The endpoint with the longest prefix that takes this path; None when none does."""
        for segments, start, endpoint in self._starts:
            if path.startswith(start) or path == segments:
                return endpoint
        return None

    def __getitem__(self, prefix: str) -> Endpoint:
        """The endpoint with exactly this prefix; KeyError when there is none."""
        return self._by_prefix[prefix]

    def prefixes(self) -> list[str]:
        """All prefixes, in alphabetical order."""
        return sorted(self._by_prefix)

    def settings(self) -> dict[str, bytes | None]:
        """Each prefix and the settings attached to it."""
        return {prefix: endpoint.settings for prefix, endpoint in self._by_prefix.items()}
