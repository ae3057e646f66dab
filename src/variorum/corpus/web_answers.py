"""Find the markup that servers send in place of a text.

They do so with status 200. A page is known by its first tag, by the rules of browsers (WHATWG,
"MIME Sniffing", section 7.1); what the server calls it in Content-Type decides nothing, as texts
are often called pages.
"""

import json
import re

_TAGS = "html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|meta|link|svg"
_PAGE = re.compile(rf"\s*(?:<!doctype\s+html|<(?:{_TAGS})[\s/>]|<!--)", re.IGNORECASE)
_XML = re.compile(r"\s*<\?xml\s")


def markup(text: str) -> str:
    """Return what kind of markup a text is, in words, or ""."""
    if _PAGE.match(text):
        return "a web page (HTML)"
    if _XML.match(text):
        return "an XML document"
    if text.lstrip().startswith(("{", "[")):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return ""
        return "an answer in JSON"
    return ""
