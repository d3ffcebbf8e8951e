"""The flags of a command that sends which say what certificates it trusts."""

from pathlib import Path
from typing import Annotated

import typer

InsecureOption = Annotated[bool, typer.Option("--insecure", help="Trust any certificate of the target.")]
CaFileOption = Annotated[
    Path | None, typer.Option("--ca-file", metavar="FILE", help="Trust the certificates in this file, too.")
]
