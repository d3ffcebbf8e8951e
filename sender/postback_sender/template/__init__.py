"""The template language of impact.com's event notifications: lexer, parser, nodes, contexts, escapes, compiler."""

from postback_sender.template.context import Format
from postback_sender.template.errors import TemplateSyntaxError
from postback_sender.template.matching import Match, Mismatch, TokenValue
from postback_sender.template.options import TemplateOptions
from postback_sender.template.template import Template

__all__ = [
    "Format",
    "Match",
    "Mismatch",
    "Template",
    "TemplateOptions",
    "TemplateSyntaxError",
    "TokenValue",
]
