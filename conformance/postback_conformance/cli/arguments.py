"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

NotificationArgument = Annotated[
    Path, typer.Argument(metavar="NOTIFICATION.toml", help="The settings.", show_default=False)
]
