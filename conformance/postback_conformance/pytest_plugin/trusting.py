"""Which certificates the endpoint under test and its probe may have: those that `postback conform` would trust."""

import ssl
from typing import Final

import pytest

from postback_conformance.certificates import trusted
from postback_conformance.errors import ConformanceError
from postback_conformance.pytest_plugin.asked import in_pytest, switch, text

_TRUST: Final = pytest.StashKey[ssl.SSLContext | bool]()


def trust_of(config: pytest.Config) -> ssl.SSLContext | bool:
    """Return what is trusted, read once a run; a file that cannot be read is an error of usage.

    The file may be relative to where pytest was started, or to the root of the repository.
    """
    if _TRUST not in config.stash:
        name = text(config, "ca-file")
        places = [folder / name for folder in (config.invocation_params.dir, config.rootpath)]
        ca_file = next((place for place in places if place.is_file()), places[0]) if name else None
        try:
            config.stash[_TRUST] = trusted(insecure=switch(config, "insecure"), ca_file=ca_file)
        except ConformanceError as error:
            raise pytest.UsageError(in_pytest(str(error))) from None
    return config.stash[_TRUST]
