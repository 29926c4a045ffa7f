"""Formulas: LaTeX becomes MathML at build, by latex2mathml, set as TeX would where browsers need to be told."""

import html
import re
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element

SPELLED = {  # what latex2mathml does not know, as it knows it
    r"\arg\max": r"\argmax",
    r"\arg\min": r"\argmin",
    r"\operatorname*{arg\,max}": r"\argmax",
    r"\operatorname*{arg\,min}": r"\argmin",
    "{aligned}": "{align*}",
    ":=": r"\coloneqq ",
}
ENVIRONMENTS = {"align*", "split", "array", "cases", "matrix", "pmatrix", "bmatrix", "vmatrix"}
CHILDREN = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
UNDER = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
ROWS = {"math", "mrow", "mstyle", "mtd", "msqrt"}
BARS = {"|", "‖"}
UNSPACED = {"mo", "mspace"}
PRIMES = {"′", "″", "‴"}
LIMITS = {"max", "min", "sup", "inf", "lim", "arg max", "arg min", "∑", "∏"}
OPERATORS = {"~": "∼", ":": ":", "&": None, "}": None, "{": None}  # taken for identifiers; None: a mistake
DOUBLE_STRUCK = {"0": "𝟘", "1": "𝟙"}


def mathml(latex, block):
    """A formula as MathML, on a line of its own if `block`. Raises `ValueError` for one that cannot be converted."""
    for given, known in SPELLED.items():
        latex = latex.replace(given, known)
    unknown = [name for name in re.findall(r"\\begin\{(.*?)\}", latex) if name not in ENVIRONMENTS]
    unknown += re.findall(r"\\operatorname\*", latex)
    if unknown or latex.count("{") != latex.count("}"):
        raise ValueError(f"{unknown[0]} is not known" if unknown else "braces do not pair")
    try:
        root = convert_to_element(latex.strip(), display="block" if block else "inline")
    except Exception as error:  # of many classes, most without a message
        raise ValueError(type(error).__name__) from error
    for element in list(root.iter()):
        _set(element)
    for element in list(root.iter()):
        _check(element)
        _space(element)
        _raise_primes(element)
        if block and element.tag in UNDER and element[0].text in LIMITS:
            element.tag = UNDER[element.tag]
    return ElementTree.tostring(root, encoding="unicode")


def _set(element):
    """Names of functions are identifiers, without an operator's spaces; signs are operators, and bars have no spaces;
    bold and blackboard digits are styles or characters that browsers draw."""
    text = element.text = " ".join(html.unescape(element.text or "").replace("\u2009", " ").split(" ")) or None
    if element.tag == "mo" and text and len(text) > 1 and text.replace(" ", "").isalpha():
        element.tag = "mi"
    elif element.tag == "mi" and text in OPERATORS:
        element.tag, element.text = "mo", OPERATORS[text]
    elif element.tag == "mo" and text in BARS and "form" not in element.attrib:
        element.attrib.update(lspace="0", rspace="0", stretchy="false")
    variant = element.get("mathvariant")
    if variant == "double-struck":
        element.text = DOUBLE_STRUCK.get(text, text)
    elif variant and variant.startswith("bold"):
        element.set("class", variant)
    if variant and variant != "normal":
        del element.attrib["mathvariant"]


def _check(element):
    """Raise for what latex2mathml lets pass: unknown commands, missing arguments, signs that mean nothing here."""
    if "\\" in (element.text or ""):
        raise ValueError(f"{element.text} is not known")
    if len(element) != CHILDREN.get(element.tag, len(element)):
        raise ValueError("an argument is missing")
    if element.tag == "mo" and element.text is None and "form" not in element.attrib:
        raise ValueError("& or a brace in a wrong place")


def _space(element):
    """Put thin spaces between the name of a function and what stands beside it without parentheses: a log x."""
    for i in reversed(range(len(element) - 1 if element.tag in ROWS else 0)):
        left, right = element[i], element[i + 1]
        before, after = _is_name(_first(right)), _is_name(_first(left))
        if (before and left.tag not in UNSPACED) or (after and _first(right).tag not in UNSPACED):
            element.insert(i + 1, ElementTree.Element("mspace", width="0.167em"))


def _first(element):
    """What an element begins with: the base of one with indices, the first of a group."""
    while element.tag in ("mrow", *UNDER, *UNDER.values()) and len(element):
        element = element[0]
    return element


def _is_name(element):
    """Whether an element is the name of a function."""
    return element.tag == "mi" and len(element.text or "") > 1


def _raise_primes(element):
    """A prime is a character that stands high already: beside what it marks, not above it as an exponent."""
    if element.tag in ("msup", "msubsup") and element[-1].text in PRIMES:
        base, prime = element[0], element[-1]
        marked = ElementTree.Element("mrow")
        marked.extend([base, prime])
        element.remove(base)
        element.remove(prime)
        element.insert(0, marked)
        element.tag = "msub" if len(element) == 2 else "mrow"
