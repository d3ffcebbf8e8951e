"""The grammar: what parses, what it means, and what an error says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_sender.template import Template, TemplateOptions, TemplateSyntaxError

# Text that is made of the language's own pieces finds more corners than random letters do.
template_texts = st.lists(
    st.sampled_from(
        ["{", "}", '"', "\\", "(", ")", ",", ".", " ", "\n", "join", "items", "i", "Payout", "i.sku", "a", "€"]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)


def rendered(source: str, options: TemplateOptions | None = None, **values: str) -> str:
    template = Template.parse(source, options=options or TemplateOptions())
    items = [{"sku": "A"}, {"sku": "B"}]
    return template.render(values, context="query", items=items, known=["Payout", "Status", "*.sku"]).decode()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("plain text", "plain text", id="text stays"),
        pytest.param("p={Payout}", "p=1.00", id="a token is replaced"),
        pytest.param("s={Status}", "s=", id="an absent value is empty"),
        pytest.param("{Nobody}", "{Nobody}", id="an unknown token stays"),
        pytest.param("{ Pay\n  out }", "1.00", id="white space in a name is ignored"),
        pytest.param(r"\{Payout\}", "{Payout}", id="escaped braces are text"),
        pytest.param(r"say \"hi\"", 'say "hi"', id="escaped quotes are text"),
        pytest.param(r"a\nb\\", r"a\nb\\", id="other backslashes are themselves"),
        pytest.param('{"key": 1}', '{"key": 1}', id="a brace before a quote is text"),
        pytest.param("{ }{}{1x}{Payout", "{ }{}{1x}{Payout", id="braces that open no token are text"),
        pytest.param('{join(items, i, "{i.sku}")}', "A,B", id="join uses a comma"),
        pytest.param('{join(items, i, "{i.sku}", "; ")}', "A; B", id="join with a separator"),
        pytest.param('{join(items, i, "{i.sku}", "")}', "AB", id="join with an empty separator"),
        pytest.param('{join( items,\n  x ,\n "\\{{x.sku}\\}\n" ) }', "{A}\n,{B}\n", id="join over several lines"),
        pytest.param('{join(items, i, "{Payout}{i.sku}")}', "1.00A,1.00B", id="outer tokens inside join"),
        pytest.param('{join(items, i, "{i.nothing}")}', "{i.nothing},{i.nothing}", id="an unknown field stays"),
        pytest.param('{join(offers, o, "{o.sku}")}', '{join(offers, o, "{o.sku}")}', id="an unknown list stays"),
    ],
)
def test_a_template_means(source: str, expected: str) -> None:
    assert rendered(source, Payout="1.00") == expected


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        pytest.param("a\n {jion(items)}", 2, 2, "unknown function 'jion'; did you mean join?", id="misspelt function"),
        pytest.param("{max(a)}", 1, 1, "unknown function 'max'; the only function is", id="other function"),
        pytest.param("{join(items i)}", 1, 13, "expected ',' after the list 'items', got 'i'", id="no comma"),
        pytest.param("{join(", 1, 7, "got the end of the template", id="cut short"),
        pytest.param('{join(items, i, "a\nb', 1, 17, "this quote is never closed", id="open quote"),
        pytest.param('{join(items, i, "a")', 1, 20, "expected ',' and a separator, or ')}', got ')'", id="no brace"),
        pytest.param(
            '{join(items, i, "a", "{b}")}', 1, 23, "expected plain text as the separator", id="token as separator"
        ),
        pytest.param('{join(items, i, "{join(items, j, ', 1, 18, "a join inside a join", id="nested"),
    ],
)
def test_an_error_names_the_place(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        Template.parse(source, name="body.json")

    error = caught.value
    assert (line, column) == (error.line, error.column)
    assert message in error.message
    header, excerpt, caret = str(error).splitlines()
    assert header.startswith(f"body.json, line {line}, column {column}: ")
    # The character under the caret is the one the error is about.
    marked = excerpt[caret.index("^") : caret.index("^") + 1]
    assert marked == error.source_line[column - 1 : column]


def test_a_very_long_line_is_shown_around_the_caret_only() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        Template.parse("x" * 100_000 + "{max()}" + "y" * 100_000)

    assert max(map(len, str(caught.value).splitlines())) < 150
    assert caught.value.column == 100_001


@pytest.mark.parametrize(
    ("options", "source"),
    [
        pytest.param(TemplateOptions(name_white_space="error"), "{Pay out}", id="white space in a name"),
        pytest.param(TemplateOptions(dangling_brace="error"), '{"key": 1}', id="dangling brace"),
    ],
)
def test_strict_options_turn_wounds_into_errors(options: TemplateOptions, source: str) -> None:
    Template.parse(source)
    with pytest.raises(TemplateSyntaxError):
        Template.parse(source, options=options)


def test_case_is_exact_unless_told_otherwise() -> None:
    assert rendered("{payout}", Payout="1") == "{payout}"
    assert rendered("{payout}", TemplateOptions(name_case="ignore"), Payout="1") == "1"


def test_names_lists_what_a_template_needs() -> None:
    template = Template.parse('{Payout}{Pay out}{join(items, i, "{i.sku}{Status}")}')

    assert frozenset({"Payout", "i.sku", "Status"}) == template.names


@given(template_texts)
def test_any_text_parses_or_is_our_error(source: str) -> None:
    try:
        Template.parse(source).render({}, context="json")
    except TemplateSyntaxError as caught:
        error = caught
    else:
        return
    assert 1 <= error.line <= source.count("\n") + 1
    assert error.source_line in source


@given(st.text())
def test_escaped_text_renders_as_itself(text: str) -> None:
    # A backslash right before an escape cannot be written in this language; everything else can.
    source = "".join("\\" + letter if letter in '{}"' else letter for letter in text.replace("\\", "/"))
    assert Template.parse(source).render({}, context="query").decode() == text.replace("\\", "/")
