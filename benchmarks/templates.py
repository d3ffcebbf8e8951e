"""How fast templates render and match: `python benchmarks/templates.py` (or `make bench`) prints ratios of one run."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from json.encoder import encode_basestring

import jinja2

from postback_sender import Event, Template, TemplateOptions, example_event
from postback_sender.template import Format
from postback_sender.template.matching import Match
from postback_sender.template.nodes import Join, Node, Text, TokenNode
from ratios import Comparison, compare, table

Values = Mapping[str, str]
CONTEXT = TemplateOptions()
RAW = TemplateOptions(escaping="raw")
Render = Callable[[Values, Sequence[Values]], bytes]

SAMPLE = files("postback_conformance").joinpath("demo_notifications/corrected.json.txt").read_text()
TEMPLATE = Template.parse(SAMPLE, name="corrected.json.txt")
SCALARS = [name for name in sorted(TEMPLATE.names) if "." not in name]
FIELDS = [name.partition(".")[2] for name in sorted(TEMPLATE.names) if "." in name]
KNOWN = frozenset(SCALARS) | {f"*.{field}" for field in FIELDS}


def complete(event: Event) -> tuple[Values, Sequence[Values]]:
    """Return the values and three items of an event, with every token of the sample."""
    values = {name: event.values.get(name, "") for name in SCALARS}
    return values, [{field: item.get(field, "") for field in FIELDS} for item in event.items[:3]]


def handwritten() -> Render:
    """Return the function a careful person would write for the sample: one f-string, the C function that quotes."""
    source = (
        "def render(values, items):\n"
        f"    items = ','.join([{_f_string(_join(TEMPLATE.nodes).body, 'item')} for item in items])\n"
        f"    return {_f_string(TEMPLATE.nodes, 'values')}.encode()\n"
    )
    namespace: dict[str, Render] = {}
    exec(source, {"quoted": encode_basestring}, namespace)  # noqa: S102  text of our own sample
    return namespace["render"]


def _f_string(nodes: Sequence[Node], row: str) -> str:
    parts: list[str] = []
    is_after_value = False
    for node in nodes:
        match node:
            case Text(text):
                # Every value of the sample stands between quotes; the call writes them.
                literal = text.removeprefix('"') if is_after_value else text
                parts.append(literal.replace("{", "{{").replace("}", "}}"))
            case TokenNode(name):
                parts[-1] = parts[-1].removesuffix('"')
                parts.append(f'{{quoted({row}["{name.rpartition(".")[2]}"])}}')
            case Join():
                parts.append("{items}")
        is_after_value = isinstance(node, TokenNode)
    return f"f'''{''.join(parts)}'''"


def _join(nodes: Sequence[Node]) -> Join:
    return next(node for node in nodes if isinstance(node, Join))


def jinja() -> Render:
    """Return the sample as a Jinja2 template with a filter that escapes for a JSON string."""
    environment = jinja2.Environment(autoescape=False, keep_trailing_newline=True)  # noqa: S701  JSON, not HTML
    environment.filters["escape"] = lambda value: encode_basestring(value)[1:-1]

    def written(nodes: Sequence[Node], row: str) -> str:
        return "".join(
            node.text
            if isinstance(node, Text)
            else "{{ " + f"{row}.{node.name.rpartition('.')[2]}|escape" + " }}"
            if isinstance(node, TokenNode)
            else "{% for item in items %}" + written(node.body, "item") + "{{ ',' if not loop.last }}{% endfor %}"
            for node in nodes
        )

    template = environment.from_string(written(TEMPLATE.nodes, "values"))
    return lambda values, items: template.render(values=values, items=items).encode()


def rendering() -> list[Comparison]:
    """Rendering the corrected sample, 39 tokens and three items, escaped for JSON."""
    event = example_event("action_lifecycle")
    values, items = complete(event)
    by_hand, by_jinja = handwritten(), jinja()
    wanted = TEMPLATE.render(values, context="json", items=items, known=KNOWN)
    if not wanted == by_hand(values, items) == by_jinja(values, items):
        sys.exit("the three ways of rendering do not agree; mend the benchmark first")
    hand = {"f-string by hand": lambda: by_hand(values, items)}
    jinja2_ = {"Jinja2": lambda: by_jinja(values, items)}
    ours = {"Template.render": lambda: TEMPLATE.render(values, context="json", items=items, known=KNOWN)}
    absent = {
        "Template.render, absent values": lambda: TEMPLATE.render(
            event.values, context="json", items=event.items, known=KNOWN
        )
    }
    return [
        compare("f-string by hand", hand | ours | absent, limits={"Template.render": 1.3}),
        compare("Jinja2", jinja2_ | ours, limits={"Template.render": 1 / 6}),
    ]


def matching() -> Comparison:
    """Taking the rendered sample apart, beside reading it as JSON."""
    values, items = complete(example_event("action_lifecycle"))
    body = TEMPLATE.render(values, context="json", items=items, known=KNOWN)
    if not isinstance(TEMPLATE.match(body, context="json"), Match):
        sys.exit("the sample does not match its own template; mend the benchmark first")
    return compare(
        "json.loads",
        {"json.loads": lambda: json.loads(body), "Template.match": lambda: TEMPLATE.match(body, context="json")},
        limits={"Template.match": 5.0},
    )


# What a reader that tries again and again would choke on: texts that nearly fit, over and over.
HOSTILE: tuple[tuple[str, Format, TemplateOptions, str], ...] = (
    ('"{A}-{B}-{C}"', "json", CONTEXT, "-x"),
    ('"{A}--{B}=="', "json", CONTEXT, "-="),
    ('"{A}" "{B}"', "json", CONTEXT, '\\"'),
    ("{A}ab{B}ab{C}b!", "json", RAW, "ab"),
    ('{join(items, i, "{i.a},{i.b};", "")}!', "json", RAW, ",;"),
    ('[{join(items, i, "\\"{i.a}\\"")}]!', "json", CONTEXT, '"",'),
    ("<a>{A}</a><b>{B}</b>", "xml", CONTEXT, "&lt;/a>"),
    ("<![CDATA[{A}]]>!", "xml", CONTEXT, "]]><![CDATA["),
    ("a={A}&b={B}!", "query", CONTEXT, "%41"),
)


def growth() -> list[Comparison]:
    """Hostile text, and ten times as much of it: time may grow twelvefold."""
    comparisons: list[Comparison] = []
    for text, text_format, options, unit in HOSTILE:
        template = Template.parse(text, options=options)
        lead = text[: text.index("{")].encode()
        works = {
            f"{count} times {unit!r} against {text}": partial(
                template.match, lead + unit.encode() * count, context=text_format
            )
            for count in (1000, 10_000)
        }
        small, large = works
        comparisons.append(compare(small, works, limits={large: 12.0}))
    return comparisons


def main() -> int:
    """Print all comparisons; 1 when a limit is missed in a run that counts."""
    comparisons = [*rendering(), matching(), *growth()]
    print(table(comparisons))
    return int(any(not comparison.holds and not comparison.is_void for comparison in comparisons))


if __name__ == "__main__":
    sys.exit(main())
