r"""A template as one text: each token and each end of a join is one mark, and every letter knows its place.

The outlines of JSON, XML and queries read this text with patterns, as if it were a rendered body. Places in it are
translated back to the source, where `\{` is two letters and one in here. What has a finding of its own is read as it
was meant: a token without its closing brace or with two of each, and the byte order mark of a body.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from postback_conformance.lint.finding import Edit, Finding, FindingKind, Slot, finding_at
from postback_conformance.lint.secret_spans import Span, secret_spans, without
from postback_sender.template import Template
from postback_sender.template.nodes import Join, Node, Text, TokenNode

TOKEN, JOIN, JOIN_END, VARIABLE = "\ue000", "\ue001", "\ue002", "\ue003"
"""What stands for `{Name}`, for the two ends of a join, and for `${NAME}` of the environment in a URL."""
MARKS = TOKEN + JOIN + JOIN_END + VARIABLE

# Literal text as it is written: an escape, a brace with the name after it, a run of plain letters, one other letter.
_WRITTEN = re.compile(r"\\[{}\"]|\{\s*(?P<name>[A-Za-z_]\w*+(?:\.\w++)?)|[^\\{]++|.", re.ASCII | re.DOTALL)
# What can follow a token whose closing brace was forgotten; after anything else the name may go on.
_AFTER_TOKEN = re.compile(r'\\?"|[<&,\]\n]|\Z')
# Within a secret, what is written out; the separator of a join is behind its second mark.
_SECRET = re.compile(f"[^{TOKEN}{JOIN}{VARIABLE}]+")
BYTE_ORDER_MARK = "\ufeff"
_MARK_AS_TEXT = str.maketrans(dict.fromkeys(MARKS, "\N{REPLACEMENT CHARACTER}"))


class FlatText:
    """The flat text of a template: `text`, the `tokens` and `joins` by place, and `unclosed` tokens by source offset.

    A token whose closing brace is missing counts as a token here when `spelled` knows its name, so that one slip is
    one finding; `judged` are the places of letters that have a
    finding of their own, such as braces before names it does not know. `foreign` are the tokens with
    braces or a `$` around them, as other template languages write them, by the offset of the token: the span of it all.
    """

    def __init__(self, template: Template, slot: Slot, spelled: Callable[[str, Join | None], str | None]) -> None:
        self.template = template
        self.slot: Slot = slot
        self.tokens: dict[int, TokenNode] = {}
        self.joins: dict[int, Join] = {}
        self.unclosed: dict[int, tuple[str, bool]] = {}
        self.foreign: dict[int, Span] = {}
        self.judged: set[int] = set()
        self.braces: list[tuple[int, str]] = []
        self._spelled = spelled
        self._letters: list[str] = []
        self._starts = array("q")
        self._ends = array("q")
        self._in_join = bytearray()
        self._hidden: list[Span] = []
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", template.source))]
        self.has_byte_order_mark = slot == "body" and template.source.startswith(BYTE_ORDER_MARK)
        self._add(template.nodes, None)
        self.text = "".join(self._letters)

    def hide_secrets(self, *, is_query: bool) -> None:
        """Keep the values of secret keys and the like out of whatever is said about this text from now on."""
        self._hidden = secret_spans(self.text, is_query=is_query)

    def is_secret(self, first: int, beyond: int) -> bool:
        """Tell whether a stretch has a part of a secret in it."""
        after = bisect_right(self._hidden, (beyond - 1, len(self.text)))
        return after > 0 and self._hidden[after - 1][1] > first

    def is_secret_at(self, offset: int) -> bool:
        """Tell whether a letter of the source belongs to a secret."""
        place = bisect_left(self._starts, offset)
        return self.is_secret(place, place + 1)

    def shown_source(self) -> str:
        """Return the template's source with its secrets hidden; it has the same lines."""
        return without(self.template.source, list(self._secrets(0, len(self.text))))

    def forget(self, first: int, beyond: int) -> None:
        """Leave the tokens of a stretch out: what stands there is no part of what is read."""
        for node in list(self.tokens_in(first, beyond)):
            self.unclosed.pop(node.start, None)
        for found in re.finditer(TOKEN, self.text[first:beyond]):
            del self.tokens[first + found.start()]

    def line(self, place: int) -> int:
        """Return the line of the source, from 1, in which a place lies."""
        return bisect_right(self._line_starts, self.start(place))

    def start(self, place: int) -> int:
        """Return the offset in the source where the letter at a place begins; past the end, that of the end."""
        return self._starts[place] if place < len(self._starts) else len(self.template.source)

    def end(self, place: int) -> int:
        """Return the offset in the source where the letter at a place ends."""
        return self._ends[place]

    def join_at(self, place: int) -> bool:
        """Tell whether a place lies inside a join's body, where quotes are escaped."""
        return place < len(self._in_join) and bool(self._in_join[place])

    def join_around(self, place: int) -> Join | None:
        """Return the join a place lies in, or None."""
        if not self.join_at(place):
            return None
        return self.joins[self.text.rfind(JOIN, 0, place)]

    def name_end(self, start: int) -> int:
        """Return where the name of an unclosed token ends in the source."""
        found = _WRITTEN.match(self.template.source, start)
        return found.end() if found else start

    def quote(self, place: int) -> str:
        """Return a quote as it has to be written at a place."""
        return r"\"" if self.join_at(place) else '"'

    def tokens_in(self, first: int, beyond: int) -> Iterator[TokenNode]:
        """Yield the tokens of a stretch."""
        place = self.text.find(TOKEN, first, beyond)
        while place >= 0:
            yield self.tokens[place]
            place = self.text.find(TOKEN, place + 1, beyond)

    def shown(self, first: int, beyond: int) -> str:
        """Return a stretch as it is written in the source, secrets hidden."""
        if first >= beyond:
            return ""
        begun = self.start(first)
        hidden = [(start - begun, end - begun) for start, end in self._secrets(first, beyond)]
        return without(self.template.source[begun : self.end(beyond - 1)], hidden)

    def edit(self, first: int, beyond: int, replacement: str) -> Edit:
        """Return the correction that replaces a stretch."""
        start = self.start(first)
        end = self.end(beyond - 1) if first < beyond else start
        is_secret = first < beyond and self.is_secret(first, beyond)
        return Edit(slot=self.slot, start=start, end=end, replacement=replacement, is_secret=is_secret)

    def source_edit(self, start: int, end: int, replacement: str) -> Edit:
        """Return the correction that replaces characters of the source."""
        return Edit(slot=self.slot, start=start, end=end, replacement=replacement)

    def token_edit(self, node: TokenNode, replacement: str) -> Edit:
        """Return the correction that writes another token."""
        return self.source_edit(node.start, node.end, replacement)

    def insertion_after(self, place: int, text: str) -> Edit:
        """Return the correction that inserts a text after a letter."""
        return Edit(slot=self.slot, start=self.end(place), end=self.end(place), replacement=text)

    def finding(
        self, kind: FindingKind, place: int, *, message: str, advice: str, edits: Iterable[Edit] = ()
    ) -> Finding:
        """Return a finding at a place."""
        return self.finding_at(kind, self.start(place), message=message, advice=advice, edits=edits)

    def finding_at(
        self, kind: FindingKind, offset: int, *, message: str, advice: str, edits: Iterable[Edit] = ()
    ) -> Finding:
        """Return a finding at an offset of the source."""
        line = bisect_right(self._line_starts, offset)
        place = line, offset - self._line_starts[line - 1] + 1
        return finding_at(kind, self.template.name, place, message=message, advice=advice, edits=tuple(edits))

    def _secrets(self, first: int, beyond: int) -> Iterator[Span]:
        """Yield where in the source the secrets of a stretch stand; tokens, variables and joins are none."""
        for index in range(max(0, bisect_right(self._hidden, (first, 0)) - 1), len(self._hidden)):
            begun, end = self._hidden[index]
            if begun >= beyond:
                return
            for found in _SECRET.finditer(self.text, max(begun, first), min(end, beyond)):
                yield self.start(found.start()), self.end(found.end() - 1)

    def _add(self, nodes: Sequence[Node], join: Join | None) -> None:
        spans = [self._span(node, join) for node in nodes]
        ends, starts = [0, *(end for _, end in spans)], [*(start for start, _ in spans[1:]), len(self.template.source)]
        for node, (start, end), before, after in zip(nodes, spans, ends, starts, strict=False):
            match node:
                case Text():
                    self._literal(max(start, before), min(end, after), join)
                case TokenNode() if self.slot == "url" and self._letters and self._letters[-1].endswith("$"):
                    self._mark(VARIABLE, start, end, join)
                case TokenNode():
                    self.tokens[len(self._starts)] = node
                    self._mark(TOKEN, start, end, join)
                case Join(body=body):
                    # Neither of the names before the body's quote has one.
                    begun = start + node.source.index('"') + 1
                    self.joins[len(self._starts)] = node
                    self._mark(JOIN, start, begun, None)
                    self._add(body, node)
                    self.joins[len(self._starts)] = node
                    self._mark(JOIN_END, body[-1].end if body else begun, end, None)

    def _span(self, node: Node, join: Join | None) -> Span:
        """Return where a node begins and ends, with the braces and the `$` that other languages put around a token."""
        source, start, end = self.template.source, node.start, node.end
        if not isinstance(node, TokenNode):
            return (1 if start == 0 and self.has_byte_order_mark else start), end
        # A brace after a backslash is meant as text.
        while (
            source[start - 1 : start] == "{" and source[start - 2 : start - 1] != "\\" and source[end : end + 1] == "}"
        ):
            start, end = start - 1, end + 1
        has_dollar = source[start - 1 : start] == "$" and (self.slot == "body" or start < node.start)
        if has_dollar:
            start -= 1
        if (start, end) != (node.start, node.end):
            self.foreign[node.start] = start, end
        # The `$` before a name nobody knows may be text.
        is_text = has_dollar and start + 1 == node.start and not self._spelled(node.name, join)
        return (node.start, node.end) if is_text else (start, end)

    def _mark(self, mark: str, start: int, end: int, join: Join | None) -> None:
        self._letters.append(mark)
        self._starts.append(start)
        self._ends.append(end)
        self._in_join.append(join is not None)

    def _literal(self, begun: int, beyond: int, join: Join | None) -> None:
        for found in _WRITTEN.finditer(self.template.source, begun, beyond):
            written, start = found[0], found.start()
            if found["name"]:
                self._unclosed(found["name"], start, found.end(), join)
            elif written[0] == "\\" and len(written) == 2:
                if written[1] != '"':
                    self.braces.append((start, written))
                self._mark(written[1], start, found.end(), join)
            else:
                self._run(start, found.end(), join)

    def _run(self, start: int, end: int, join: Join | None) -> None:
        run = self.template.source[start:end]
        self.braces += [(start + found.start(), found[0]) for found in re.finditer("[{}]", run)]
        self._letters.append(run.translate(_MARK_AS_TEXT))
        self._starts.extend(range(start, end))
        self._ends.extend(range(start + 1, end + 1))
        self._in_join += (b"\x01" if join else b"\x00") * len(run)

    def _unclosed(self, name: str, start: int, end: int, join: Join | None) -> None:
        is_certain = _AFTER_TOKEN.match(self.template.source, end) and self._spelled(name, join)
        if not is_certain and re.compile(r"\s*:").match(self.template.source, end):
            # `{key: …`, an object whose keys have no quotes.
            self._run(start, end, join)
            return
        self.unclosed[start] = (name, bool(is_certain))
        if is_certain:
            node = TokenNode(name, self.template.source[start:end], start, end)
            self.tokens[len(self._starts)] = node
            self._mark(TOKEN, start, end, join)
        else:
            self.judged.add(len(self._starts))
            self._run(start, end, join)
            self.braces.pop()
