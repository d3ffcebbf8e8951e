"""An earlier failure, run again: its case file, read and told of as pytest tells."""

from pathlib import Path

import msgspec
import pytest

from postback_conformance.errors import ConformanceError
from postback_conformance.suite.case import Case
from postback_conformance.suite.case_file import MAX_BYTES, CaseFile, case_of, decode_case_file
from postback_conformance.suite.catalogue import CASES
from postback_sender import SenderError


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """A case file that is run again."""

    case: Case
    file: CaseFile


def again(path: Path) -> Again:
    """Return the case of a file; one that cannot be read or run is an error of usage."""
    try:
        with path.open("rb") as opened:
            file = decode_case_file(opened.read(MAX_BYTES + 1), name=str(path))
        return Again(case=case_of(file, CASES, name=str(path)), file=file)
    except (ConformanceError, SenderError) as error:
        raise pytest.UsageError(f"--postback-replay: {error}") from None
    except OSError as error:
        raise pytest.UsageError(f"--postback-replay: {path}: {error.strerror}; expected a case file") from None
