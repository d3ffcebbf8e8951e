"""Follows README.md, and the pages that are read like it, as a reader would, and fails where they would fail them.

Each `##` section starts in an empty folder, and its code blocks are followed from top to bottom:

- `python` is run as a script, and `toml` must be well-formed. A first line that is only a comment with a file name,
  such as `# notification.toml`, means that the block is saved as that file; a `test_*.py` is then run with pytest.
- `bash` holds commands, one a line (a backslash continues it). `postback`, `python`, `pytest` and `echo` are run and
  must succeed, with variables in front of them if there are any; a comment such as `# exit 1` at the end of the line
  states another exit code. `make` targets must exist. `NOT_RUN` names the other commands a reader may be told to use;
  anything else is an error.
- A `postback` line that ends in `&` runs in the background: the next line follows when it listens, and the section ends
  with Ctrl-C for it.
- `console` is a `bash` block in which commands start with `$ `. The other lines are their output, `...` is any text.
- `text` is only shown. A block in any other language is an error, so that none is forgotten.

`postback` is run by a process that has loaded it already; `tests/cli/test_demo.py` runs the installed program.
Warnings are errors throughout. A port that a section names is replaced by a free one in the whole section.
"""

import contextlib
import doctest
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent

import pytest

from command_line import environment, write_stand_in
from fork_server import PATIENCE_S
from postback_conformance.hosting.command_host import free_port

REPOSITORY = Path(__file__).parents[1]

BASH = ("/bin/bash", "-o", "pipefail", "-c")
RUN = ("echo", "postback", "pytest", "python")
# What a line sets for its command alone, as in `KEY=secret postback render`.
VARIABLES = re.compile(r"^(?:[A-Z_]+=\S* )+")
NOT_RUN = {
    "cd": "goes into the clone, which is where we are",
    "git": "fetches what is here already",
    "pip": "would install what is here already, and needs a network",
    "python -m pip": "the same",
    "python3 -m venv": "would make what we are running in",
    ".venv/bin/python -m pip": "installs, like pip",
    ".venv/bin/postback demo": "has tests of its own",
    ".venv/bin/python -m pytest": "would run this test inside itself",
}

FENCE = "```"
NAMED_FILE = re.compile(r"# (?P<name>[\w./-]+\.\w+)\n")
PORT = re.compile(r"(?P<before>--port |\bport ?= ?|127\.0\.0\.1:|localhost:)(?P<port>[1-9]\d*)")
COMMENT = re.compile(r"\s+#.*$")
EXIT_CODE = re.compile(r"\s# exit (?P<code>\d+)\b")
MAKE_TARGET = re.compile(r"^(\w+):", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced code block, and the line it starts on."""

    language: str
    text: str
    line: int
    page: str = "README.md"

    @property
    def place(self) -> str:
        return f"{self.page}, {self.language} block at line {self.line}"


def read_sections(markdown: str, page: str = "README.md") -> dict[str, list[Block]]:
    """Collect the code blocks below each second-level heading."""
    title = "introduction"
    sections: dict[str, list[Block]] = {title: []}
    opened: Block | None = None
    for number, line in enumerate(markdown.splitlines(keepends=True), start=1):
        if opened:
            if line.strip() == FENCE:
                sections[title].append(replace(opened, text=dedent(opened.text)))
                opened = None
            else:
                opened = replace(opened, text=opened.text + line)
        elif line.lstrip().startswith(FENCE):
            opened = Block(language=line.strip().removeprefix(FENCE), text="", line=number, page=page)
        elif line.startswith("## "):
            title = line.removeprefix("## ").strip()
            sections.setdefault(title, [])
    assert opened is None, f"{opened} never ends"
    return sections


def with_free_ports(blocks: Sequence[Block]) -> list[Block]:
    """Replace each port, so that the test runs beside whatever else this machine does."""
    named = dict.fromkeys(match["port"] for block in blocks for match in PORT.finditer(block.text))
    free = {port: str(free_port()) for port in named}
    return [replace(block, text=PORT.sub(lambda m: m["before"] + free[m["port"]], block.text)) for block in blocks]


def commands(block: Block) -> Iterator[tuple[str, str | None]]:
    """Yield the commands in a shell block; in a console block, each with the output the reader is shown."""
    text = block.text.replace("\\\n", " ")
    if block.language == "bash":
        yield from ((line.strip(), None) for line in text.splitlines() if line.strip() and not line.startswith("#"))
        return
    before, *rest = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not before.strip(), f"{block.place}: a command starts with `$ `"
    for part in rest:
        command, _, output = part.partition("\n")
        yield command.strip(), output


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Somebody who follows one section, with a folder to work in and a search path for commands."""

    folder: Path
    path: str
    until_the_end: contextlib.ExitStack

    def follow(self, block: Block) -> None:
        """Do what the block says."""
        match block.language:
            case "python" | "toml" if named := NAMED_FILE.match(block.text):
                self.save(named["name"], block)
            case "python":
                (self.folder / "script.py").write_text(block.text, "utf-8")
                self.run(block, [sys.executable, "script.py"])
            case "toml":
                tomllib.loads(block.text)
            case "bash" | "console":
                for command, output in commands(block):
                    self.command(block, command, output)
            case "text":
                pass
            case _:
                pytest.fail(f"{block.place}: nobody knows how to check this language; see {Path(__file__).name}")

    def save(self, name: str, block: Block) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, "utf-8")
        if file.match("test_*.py"):
            self.run(block, [sys.executable, "-m", "pytest", name])

    def command(self, block: Block, command: str, output: str | None) -> None:
        program, *words = VARIABLES.sub("", COMMENT.sub("", command)).split()
        if program == "make":  # running it would run this test inside itself
            unknown = set(words) - set(MAKE_TARGET.findall((REPOSITORY / "Makefile").read_text("utf-8")))
            assert not unknown, f"{block.place}: the Makefile has no target {', '.join(sorted(unknown))}"
        elif any(f"{command} ".startswith(f"{name} ") for name in NOT_RUN):
            return
        elif program not in RUN:
            pytest.fail(f"{block.place}: `{command}` is not a command this test knows; see {Path(__file__).name}")
        elif words and words[-1] == "&":
            assert program == "postback", f"{block.place}: `{command}` cannot say when it is ready for the next line"
            self.start(block, COMMENT.sub("", command).removesuffix("&"))
        else:
            stated = EXIT_CODE.search(command)
            shown = self.run(block, [*BASH, command], int(stated["code"]) if stated else 0)
            if output is not None and not doctest.OutputChecker().check_output(output, shown, doctest.ELLIPSIS):
                pytest.fail(f"{block.place}: `{command}` shows\n{shown}\ninstead of\n{output}")

    def run(self, block: Block, command: Sequence[str], exit_code: int = 0) -> str:
        """Run a command to its end; what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        ended = f"{block.place}: {command[-1]} ended with exit code {done.returncode} instead of {exit_code}:"
        assert done.returncode == exit_code, f"{ended}\n{done.stdout}"
        return done.stdout

    def start(self, block: Block, command: str) -> None:
        """Start a command in the background, wait until it listens, and interrupt it at the end of the section."""
        port_file = self.folder / ".port"
        port_file.unlink(missing_ok=True)
        process = subprocess.Popen(
            [*BASH, f"exec {command} --port-file {port_file.name}"], cwd=self.folder, env=self.environment
        )
        self.until_the_end.callback(self.stop, block, command, process)
        deadline = time.monotonic() + PATIENCE_S
        while not (port_file.exists() and port_file.read_text("utf-8")):
            assert process.poll() is None, f"{block.place}: `{command}` ended with exit code {process.returncode}"
            assert time.monotonic() < deadline, f"{block.place}: `{command}` wrote no --port-file in {PATIENCE_S} s"
            time.sleep(0.02)

    def stop(self, block: Block, command: str, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGINT)
        try:
            exit_code = process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait(PATIENCE_S)
        assert exit_code == 0, f"{block.place}: `{command}` ended with exit code {exit_code} after Ctrl-C"

    @property
    def environment(self) -> dict[str, str]:
        # As on a build server, where Hypothesis takes no slow machine for a slow test.
        return environment(PATH=self.path, PYTHONWARNINGS="error", CI="true")


PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
PAGES = (
    "README.md",
    "docs/actions.md",
    "docs/captures.md",
    "docs/events.md",
    "docs/notification.md",
    "docs/operation.md",
    "docs/python.md",
    "docs/receiver.md",
    "docs/scenarios.md",
    "docs/templates.md",
)
SECTIONS = {
    f"{page}: {title}": blocks
    for page in PAGES
    for title, blocks in read_sections((REPOSITORY / page).read_text("utf-8"), page).items()
    if blocks
}


def follow(blocks: Sequence[Block], folder: Path, path: str) -> None:
    """Follow a section from top to bottom."""
    with contextlib.ExitStack() as until_the_end:
        reader = Reader(folder=folder, path=path, until_the_end=until_the_end)
        for block in with_free_ports(blocks):
            reader.follow(block)


@pytest.fixture(scope="session")
def path_to_command(command_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bin")
    write_stand_in(folder / "postback", command_server)
    return os.pathsep.join([str(folder), PATH])


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_works_as_written(section: str, tmp_path: Path, path_to_command: str) -> None:
    follow(SECTIONS[section], tmp_path, path_to_command)


# The rest shows that the reader above notices what it should, with this stand-in for our command.
STAND_IN = f"""#!{sys.executable}
import pathlib, signal, sys

print(*sys.argv[1:])
if "--port-file" in sys.argv:
    pathlib.Path(sys.argv[-1]).write_text(sys.argv[-3])
    signal.sigwait([signal.SIGINT])
    pathlib.Path("interrupted").touch()
sys.exit("fail" in sys.argv)
"""


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    command = tmp_path_factory.mktemp("bin") / "postback"
    command.write_text(STAND_IN, "utf-8")
    command.chmod(0o755)
    return os.pathsep.join([str(command.parent), PATH])


def block(language: str, text: str) -> Block:
    return Block(language=language, text=text, line=1)


@pytest.mark.parametrize(
    ("language", "text", "complaint"),
    [
        ("ruby", "puts 1", "nobody knows how to check this language"),
        ("", "no language", "nobody knows how to check this language"),
        ("python", "import postback_misspelled", "ModuleNotFoundError"),
        ("python", "import warnings; warnings.warn('old')", "UserWarning: old"),
        ("python", "# test_shop.py\ndef test_shop(): assert 1 == 2\n", "assert 1 == 2"),
        ("bash", "rm -rf .", "is not a command this test knows"),
        ("bash", "make coffee", "no target coffee"),
        ("bash", "postback fail", "exit code 1 instead of 0"),
        ("bash", "postback fail | python -c ''", "exit code 1 instead of 0"),
        ("bash", "postback demo  # exit 1", "exit code 0 instead of 1"),
        ("bash", "python app.py &", "cannot say when it is ready"),
        ("bash", "postback fail --port 8080 &", "after Ctrl-C"),
        ("console", "postback demo", "a command starts with"),
        ("console", "$ postback demo\nsomething else\n", "shows\ndemo"),
    ],
)
def test_a_block_that_would_fail_the_reader_is_found(
    tmp_path: Path, path: str, language: str, text: str, complaint: str
) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=re.escape(complaint)):
        follow([block(language, text)], tmp_path, path)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "import postback_sender"),
        ("python", "# test_shop.py\ndef test_shop(): assert True\n"),
        ("toml", "[project]\nname = 'shop'"),
        ("text", "sender -> endpoint"),
        ("bash", "# first\ngit clone it\ncd it\npip install it\npython -m pip install it\nmake demo test"),
        ("bash", "postback demo --quiet \\\n  --fast\n\npostback list"),
        ("bash", "postback fail  # exit 1: it fails"),
        ("bash", "postback demo | grep demo > out.txt"),
        ("console", "$ postback demo\ndemo\n$ postback list a b\nlist ... b\n"),
    ],
)
def test_a_block_that_works_passes(tmp_path: Path, path: str, language: str, text: str) -> None:
    follow([block(language, text)], tmp_path, path)


def test_a_background_command_gets_a_free_port_and_is_interrupted_at_the_end(tmp_path: Path, path: str) -> None:
    settings = block("toml", '# shop/notification.toml\nurl = "http://127.0.0.1:8080/"\n')
    still_runs = block("python", "from pathlib import Path\nassert not Path('interrupted').exists()")
    follow([settings, block("bash", "postback listen --port 8080 &  # keep it open"), still_runs], tmp_path, path)
    assert (tmp_path / "interrupted").exists()
    port = (tmp_path / ".port").read_text("utf-8")
    assert port != "8080"
    assert f'"http://127.0.0.1:{port}/"' in (tmp_path / "shop/notification.toml").read_text("utf-8")


def test_blocks_are_found_below_their_heading_wherever_they_stand() -> None:
    markdown = (
        "# Kit\n```text\na\n```\n## Use\n- item\n\n  ```bash\n  ## no heading\n  make\n  ```\n## Use\n```toml\n```\n"
    )
    assert read_sections(markdown) == {
        "introduction": [Block(language="text", text="a\n", line=2)],
        "Use": [
            Block(language="bash", text="## no heading\nmake\n", line=8),
            Block(language="toml", text="", line=13),
        ],
    }
