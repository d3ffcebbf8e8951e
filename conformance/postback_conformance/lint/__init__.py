"""What may go wrong with a notification before anything is sent, said with place, consequence and correction."""

from postback_conformance.lint.finding import Edit, Finding, FindingKind
from postback_conformance.lint.fixing import Fixed, fix
from postback_conformance.lint.kinds import KINDS
from postback_conformance.lint.linting import lint, lint_source

__all__ = ["KINDS", "Edit", "Finding", "FindingKind", "Fixed", "fix", "lint", "lint_source"]
