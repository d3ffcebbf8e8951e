"""Reports as people see them: what a terminal shows, and what a browser would find in a page."""

import io
from html.parser import HTMLParser

from rich.console import Console

from postback_conformance.reports.html import html_report
from postback_conformance.reports.report import Report
from postback_conformance.reports.terminal import terminal_report

# Elements and attributes by which a page can ask for something from elsewhere, or run something.
FORBIDDEN_TAGS = {
    "script",
    "link",
    "img",
    "iframe",
    "object",
    "embed",
    "base",
    "form",
    "audio",
    "video",
    "use",
    "image",
}
FORBIDDEN_ATTRIBUTES = {"src", "srcset", "action", "data", "background", "poster", "xlink:href", "style", "ping"}


class Page(HTMLParser):
    """What a browser would find in a page: its tags with their attributes, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.text += " "
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        """Return all values of an attribute."""
        return [value or "" for name, value in self.attributes if name == attribute]


def on_terminal(report: Report, *, color: bool = False) -> str:
    """Return what a terminal of 300 columns would show."""
    file = io.StringIO()
    console = Console(file=file, width=300, force_terminal=color, color_system="truecolor" if color else None)
    console.print(terminal_report(report))
    return file.getvalue()


def shown(report: Report) -> str:
    """Return the text of a report's page, once the page is held to what every page must be."""
    return " ".join(check_page(html_report(report)).text.split())


def check_page(page: bytes) -> Page:
    """Hold a page to needing nothing, running nothing, and leading nowhere but to its own places."""
    read = Page(page)
    assert not set(read.tags) & FORBIDDEN_TAGS
    assert not {name for name, _ in read.attributes} & FORBIDDEN_ATTRIBUTES
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    ids = read.values("id")
    assert len(ids) == len(set(ids)), "an id names one place"
    assert {one[1:] for one in read.values("href")} <= set(ids), "every link leads to a place of the page"
    assert all(one.startswith("#") for one in read.values("href"))
    assert {one for text in read.values("aria-labelledby") for one in text.split()} <= set(ids)
    style = page.decode().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" in read.values(
        "content"
    )
    return read
