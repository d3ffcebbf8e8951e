"""`python -m postback_conformance` is the command `postback`."""

from postback_conformance.cli import main

main()
