"""`lint`: what is wrong with a notification, and what `--fix` makes of its files."""

import json
import stat
from pathlib import Path

import pytest

from command_line import Run
from postback_conformance.demo import demo_sources

SOUND = 'url = "http://127.0.0.1/?a={ActionId}&s={Status}&p={Payout}&d={DeltaPayout}"\n'


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """The notifications of the demonstration, in the folder where commands run."""
    for source in demo_sources().values():
        for name, text in {source.name: source.text, **source.files}.items():
            (tmp_path / name).write_text(text)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.usefixtures("demo")
def test_the_wounds_of_the_documented_example_are_named_with_place_consequence_and_correction(run: Run) -> None:
    wounded, mended = run("lint", "documented.toml"), run("lint", "corrected.toml")

    assert (wounded.code, mended.code) == (1, 0)
    place, consequence, correction = wounded.out.splitlines()[3:6]
    assert place.startswith("documented.json.txt, line 1, column 2: ")
    assert consequence.startswith("    MUST json.key-without-value: ")
    assert correction.startswith('    → give it a key, "event": ')
    assert "6 findings in documented.toml; --fix corrects 6" in wounded.err
    assert (mended.out, mended.err) == ("", "corrected.toml: fine\n")


@pytest.mark.usefixtures("demo")
def test_programs_get_one_finding_a_line(run: Run) -> None:
    findings = [json.loads(line) for line in run("lint", "documented.toml", "--format", "json").out.splitlines()]

    assert [finding["slug"] for finding in findings][:2] == ["template.brace-not-escaped", "json.key-without-value"]
    assert set(findings[0]) == {
        *("slug", "level", "place", "file", "line", "column", "message", "consequence", "advice", "edits")
    }
    assert findings[0]["edits"] == [{"slot": "body", "start": 0, "end": 1, "replacement": r"\{"}]


def test_fix_writes_the_body_file_and_shows_what_changed_and_is_done(run: Run, demo: Path) -> None:
    body, settings = demo / "documented.json.txt", (demo / "documented.toml").read_bytes()
    body.chmod(0o640)
    before = body.read_text()

    outcome = run("lint", "documented.toml", "--fix")

    assert outcome.code == 0
    assert outcome.out.startswith("--- documented.json.txt\n+++ documented.json.txt (corrected)\n@@ ")
    assert '+\\{"event": "Action Life Cycle Postback",\n' in outcome.out
    assert "documented.toml: fine" in outcome.err
    assert body.read_text() != before
    assert stat.S_IMODE(body.stat().st_mode) == 0o640
    assert (demo / "documented.toml").read_bytes() == settings

    once, again = body.read_bytes(), run("lint", "documented.toml", "--fix")

    assert (again.code, again.out) == (0, "")
    assert body.read_bytes() == once


def test_diff_shows_the_same_and_writes_nothing(run: Run, demo: Path) -> None:
    before = {path.name: path.read_bytes() for path in demo.iterdir()}

    shown = run("lint", "documented.toml", "--diff")

    assert {path.name: path.read_bytes() for path in demo.iterdir()} == before
    assert shown.code == 0
    assert shown.out == run("lint", "documented.toml", "--fix").out


def test_what_only_a_person_can_mend_is_left_and_said(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "n.toml", SOUND + """body = '{"a": {SubId1}, "b": "{Nope}"}'\n""")

    outcome = run("lint", "n.toml", "--fix")

    assert outcome.code == 1
    assert '"a": "{SubId1}"' in path.read_text()
    assert outcome.err == "1 finding left in n.toml\n"
    diff, _, left = outcome.out.partition("n.toml, body, line 2, column 33: unknown token {Nope}")
    assert diff.startswith("--- n.toml, body\n")
    assert "template.unknown-token" in left


def test_programs_are_told_what_was_mended_and_what_is_left(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "n.toml", SOUND + """body = '{"a": {SubId1}, "b": "{Nope}"}'\n""")

    outcome = run("lint", "n.toml", "--fix", "--format", "json")
    findings = [json.loads(line) for line in outcome.out.splitlines()]

    assert [(one["slug"], one["column"], one["fixed"]) for one in findings] == [
        ("json.token-unquoted", 15, True),
        ("template.unknown-token", 33, False),
    ]
    assert {(one["file"], one["line"]) for one in findings} == {("n.toml", 2)}


def test_a_body_in_the_settings_is_fixed_there(run: Run, tmp_path: Path) -> None:
    text = f"# why it is\n{SOUND}body_format   =  'xml'  # a comment\nbody = '<a>{{payout}}</a>' # another\n"
    path = write(tmp_path / "n.toml", text)

    assert run("lint", "n.toml", "--fix").code == 0
    assert path.read_text() == text.replace("payout", "Payout")


def test_a_url_is_fixed_in_the_settings_and_its_secrets_stay_hidden(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "n.toml", SOUND.replace("d={Delta", "token=hunter2&d={delta") + "# the end")

    outcome = run("lint", "n.toml", "--fix")

    assert path.read_text() == SOUND.replace("d={Delta", "token=hunter2&d={Delta") + "# the end"
    assert outcome.code == 1
    assert "+http://127.0.0.1/" in outcome.out
    assert "hunter2" not in outcome.text


def test_a_body_file_keeps_its_line_ends_and_gets_none_at_its_end(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "n.toml", f'{SOUND}body_file = "body.txt"')
    body = write(tmp_path / "body.txt", '\\{"a":\r\n{SubId1}\n\\}')

    assert run("lint", "n.toml", "--fix").code == 0
    assert body.read_bytes().decode() == '\\{"a":\r\n"{SubId1}"\n\\}'


def test_a_link_is_followed_to_the_file_it_stands_for(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "n.toml", f'{SOUND}body_file = "link.txt"')
    body = write(tmp_path / "body.txt", '{"a": {SubId1}}')
    (tmp_path / "link.txt").symlink_to("body.txt")

    assert run("lint", "n.toml", "--fix").code == 0
    assert body.read_text() == '{"a": "{SubId1}"}'
    assert (tmp_path / "link.txt").is_symlink()


def test_a_file_that_cannot_be_written_is_one_message_and_stays_whole(run: Run, tmp_path: Path) -> None:
    """Its name is as long as a name may be, so that there is none for the draft beside it."""
    path = write(tmp_path / f"{'n' * 250}.toml", SOUND.replace("Status", "status"))

    outcome = run("lint", path.name, "--fix")

    assert outcome.code == 2
    assert "cannot be written, and nothing was: File name too long" in outcome.err
    assert path.read_text() == SOUND.replace("Status", "status")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_may_not_be_written_is_left_alone(run: Run, tmp_path: Path) -> None:
    """And so is the other one: both are corrected, or none."""
    settings = write(tmp_path / "n.toml", f'{SOUND.replace("Status", "status")}body_file = "body.txt"')
    body = write(tmp_path / "body.txt", '{"a": {SubId1}}')
    body.chmod(0o444)

    outcome = run("lint", "n.toml", "--fix")

    assert outcome.code == 2
    assert "body.txt: cannot be written, and nothing was: it is write-protected" in outcome.err
    assert "{status}" in settings.read_text()
    assert body.read_text() == '{"a": {SubId1}}'


def test_a_template_that_cannot_be_read_is_a_finding_and_is_not_touched(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "n.toml", 'url = "http://h/?token=hunter2&x={join(items"')

    text, data = run("lint", "n.toml", "--fix"), run("lint", "n.toml", "--format", "json")

    assert (text.code, data.code) == (1, 1)
    assert text.out.startswith("n.toml, url, line 1, column 45: expected ',' after the list 'items'")
    assert f"\n    http://h/?token=[hidden]&x={{join(items\n{' ' * 42}^\n" in text.out
    assert json.loads(data.out)["slug"] == "template.syntax"
    assert path.read_text() == 'url = "http://h/?token=hunter2&x={join(items"'


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_secret_is_printed(run: Run, tmp_path: Path, format: str) -> None:  # noqa: A002  a flag
    text = SOUND.replace("?", "?api_key=\N{CYRILLIC SMALL LETTER A}bc&")
    write(tmp_path / "n.toml", text + """body = '{"api_key": "s3cret", "x": {payout}, "token": s3cret}'""")

    for flags in ([], ["--diff"]):
        outcome = run("lint", "n.toml", "--format", format, *flags)

        assert "[hidden]" in outcome.out
        assert not [
            secret for secret in ("s3cret", "bc&", "%D0", "\N{CYRILLIC SMALL LETTER A}") if secret in outcome.text
        ]


def test_advice_is_given_and_is_no_reason_to_fail(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "n.toml", SOUND.replace("&d={DeltaPayout}", ""))

    outcome = run("lint", "n.toml")

    assert outcome.code == 0
    assert "INFO missing.delta" in outcome.out
    assert outcome.err == "n.toml: fine, with 1 piece of advice\n"


def test_lint_needs_no_secrets(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "n.toml", SOUND + '[headers]\nX-Api-Key = "${KEY}"')

    assert run("lint", "n.toml").code == 0


def test_quiet_leaves_only_the_result(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "n.toml", SOUND)
    outcome = run("-q", "lint", "n.toml")

    assert (outcome.code, outcome.text) == (0, "")
