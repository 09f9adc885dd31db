"""How is a name that anybody may have chosen shown as the text that it is?

Names of runs, layers, classes and folders, and sentences with them, reach pages, charts and terminals, each of which
has signs with a meaning of their own: `*`, `$x$`, `:smile:`, `[red]`, `<b>`, quotes in an expression, escapes.

    visible(name)      one line, without signs that steer a terminal or turn the direction of reading
    markdown(name)     inside a page's own Markdown
    sentence(words)    a whole sentence in which names stand, as Markdown; what is between `backticks` stays code
    expression(name)   a string inside an expression of a chart
"""

import json
import re
import unicodedata

_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # of Unicode: control, format, surrogates, ends of lines and paragraphs
_JOINERS = "\u200c\u200d\u00ad"  # parts of words and of emoji
_APART = "\u2060"  # a word joiner: nothing to see, and what it parts is no sign any more
_MARKUP = re.compile(r"[\\`*\[\]<>$~|&]|(?<![^\W_])_|_(?![^\W_])|^\s*(?:[#>+-]|=+$|\d+[.)])(?=\s|$|-)")
# read where the escapes of Markdown were taken off already: emoji and icons of Streamlit, addresses
_LATER = re.compile(r":(?=[\w+/-]+[:\[])|(?<=:)(?=//)|(?<=www)(?=\.)|(?<=\w)(?=@\w)", re.IGNORECASE)
_CODE = re.compile(r"(?<!`)`[^`]+`(?!`)")
_CODE_OR_FORMULA = re.compile(rf"{_CODE.pattern}|\$[^$]+\$")


def visible(words: object) -> str:
    """Words on one line; what cannot be seen but steers how the rest is shown is named, as ‹U+202E›."""
    text = re.sub(r"\s*[\r\n\t]\s*", " ", str(words))
    if text.isprintable():  # as nearly all are: no sign of these kinds is
        return text
    return "".join(f"‹U+{ord(sign):04X}›" if _steers(sign) else sign for sign in text)


def markdown(words: object) -> str:
    """Words as Markdown shows them unchanged, inside a line of it."""
    text = _LATER.sub(lambda found: f"{found[0]}{_APART}", visible(words))
    return _MARKUP.sub(lambda found: re.sub(r"(?=[^\w\s]|_)", r"\\", found[0], count=1), text)


def sentence(words: object, formulas: bool = False) -> str:
    """A sentence of the lab as Markdown: `code` stays code, and all else is text.

    With `formulas` what stands between dollars is a formula too; for sentences in which nobody's names stand.
    """
    text, parts, at = visible(words), [], 0
    for code in (_CODE_OR_FORMULA if formulas else _CODE).finditer(text):
        parts += [markdown(text[at : code.start()]), code[0]]
        at = code.end()
    return "".join([*parts, markdown(text[at:])])


def expression(words: object) -> str:
    """Words as a string in an expression of Vega, quotes and all."""
    return json.dumps(visible(words), ensure_ascii=False)


def _steers(sign: str) -> bool:
    return unicodedata.category(sign) in _STEERING and sign not in _JOINERS
