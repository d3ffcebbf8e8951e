r"""A template as one text: each token and each end of a join is one mark, and every letter knows its place.

The outlines of JSON, XML and queries read this text with patterns, as if it were a rendered body. Places in it are
translated back to the source, where `\{` is two letters and one in here.
"""

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from postback_conformance.lint.finding import Edit, Finding, FindingKind, Slot, finding_at
from postback_sender.template import Template
from postback_sender.template.nodes import Join, Node, Text, TokenNode

TOKEN, JOIN, JOIN_END, VARIABLE = "\ue000", "\ue001", "\ue002", "\ue003"
"""What stands for `{Name}`, for the two ends of a join, and for `${NAME}` of the environment in a URL."""
MARKS = TOKEN + JOIN + JOIN_END + VARIABLE

# Literal text as it is written: an escape, a brace with the name after it, a run of plain letters, one other letter.
_WRITTEN = re.compile(r"\\[{}\"]|\{\s*(?P<name>[A-Za-z_]\w*+(?:\.\w++)?)|[^\\{]++|.", re.ASCII | re.DOTALL)
# What can follow a token whose closing brace was forgotten; after anything else the name may go on.
_AFTER_TOKEN = re.compile(r'\\?"|[<&,\]\n]|\Z')
_MARK_AS_TEXT = str.maketrans(dict.fromkeys(MARKS, "\N{REPLACEMENT CHARACTER}"))


class FlatText:
    """The flat text of a template: `text`, the `tokens` and `joins` by place, and `unclosed` tokens by source offset.

    A token whose closing brace is missing counts as a token here when `spelled` knows its name, so that one slip is
    one finding; `doubtful` are the places of braces before names it does not know.
    """

    def __init__(self, template: Template, slot: Slot, spelled: Callable[[str, Join | None], str | None]) -> None:
        self.template = template
        self.slot: Slot = slot
        self.tokens: dict[int, TokenNode] = {}
        self.joins: dict[int, Join] = {}
        self.unclosed: dict[int, tuple[str, bool]] = {}
        self.doubtful: set[int] = set()
        self.braces: list[tuple[int, str]] = []
        self._spelled = spelled
        self._letters: list[str] = []
        self._starts = array("q")
        self._ends = array("q")
        self._in_join = bytearray()
        self._add(template.nodes, None)
        self.text = "".join(self._letters)

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

    def written(self, first: int, beyond: int) -> str:
        """Return a stretch as it is written in the source."""
        return self.template.source[self.start(first) : self.end(beyond - 1)] if first < beyond else ""

    def edit(self, first: int, beyond: int, replacement: str) -> Edit:
        """Return the correction that replaces a stretch."""
        start = self.start(first)
        return Edit(
            slot=self.slot, start=start, end=self.end(beyond - 1) if first < beyond else start, replacement=replacement
        )

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
        name, source = self.template.name, self.template.source
        return finding_at(kind, name, source, offset, message=message, advice=advice, edits=tuple(edits))

    def _add(self, nodes: Sequence[Node], join: Join | None) -> None:
        for node in nodes:
            match node:
                case Text():
                    self._literal(node, join)
                case TokenNode() if self.slot == "url" and self._letters and self._letters[-1].endswith("$"):
                    self._mark(VARIABLE, node.start, node.end, join)
                case TokenNode():
                    self.tokens[len(self._starts)] = node
                    self._mark(TOKEN, node.start, node.end, join)
                case Join(body=body):
                    self.joins[len(self._starts)] = node
                    self._mark(JOIN, node.start, body[0].start if body else node.end, None)
                    self._add(body, node)
                    self.joins[len(self._starts)] = node
                    self._mark(JOIN_END, body[-1].end if body else node.start, node.end, None)

    def _mark(self, mark: str, start: int, end: int, join: Join | None) -> None:
        self._letters.append(mark)
        self._starts.append(start)
        self._ends.append(end)
        self._in_join.append(join is not None)

    def _literal(self, node: Text, join: Join | None) -> None:
        source = self.template.source
        for found in _WRITTEN.finditer(source, node.start, node.end):
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
            self.doubtful.add(len(self._starts))
            self._run(start, end, join)
            self.braces.pop()
