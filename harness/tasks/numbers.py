"""What counts as a number in a model's text, and when two spellings are the same number.

Digits (of any script, as in the tutorial's patterns and Python's float) with commas in threes (or LaTeX's `{,}` and
`\,`), a decimal point, an exponent of up to three digits; or a fraction of whole numbers (`1/2`, `\frac{1}{2}`).
Currency, markup, `%`, unit and magnitude words are ignored: `18%`, `18kg` and `18 million` are 18. A sign touches
its number or its currency sign and does not follow an operand (`20-2` holds 20 and 2); a loose minus counts only after
`=`: elsewhere it is a bullet or an operator. Not numbers: `1,00`, `1.2.3`, `10:30`, `1_000`, `9x2`, powers, roots,
`±5`, numbers in words. Exponents and the digits of a word (`cm^2`, `CO2`) are skipped. A sum, product or range
(`9 + 9`, `5-5`) is not an answer.

Values are compared as digit strings, so Python's limit on int-to-str conversion never matters.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from fractions import Fraction
from functools import lru_cache

_BODY = r"[\dA-Za-z.,:^_/]*"
RUN = re.compile(rf"\\[dt]?frac(?:\{{[\d,]+\}}){{2}}|\d{_BODY}(?:(?:\{{,\}}|\\[!,]|(?<=\d[eE])[-+]\d){_BODY})*")
_SIGN, _MONEY = r"[\-−–‑－﹣+＋]", r"(?:\\?[$£€¥₹]\s?)?"
# The next three see only the few characters before a number.
_PART_OF_WORD = re.compile(r"(?:(?:^|[^\\A-Za-z])[A-Za-zÀ-ɏͰ-ԯ]+|[A-Za-z\d]_|(?:^|[^)\]}])\^\{?)\Z")
_NO_NUMBER_AFTER = re.compile(r"(?:[√±\d]|[)\]}]\^\{?|\\(?:[dt]?frac|sqrt|pm|mp)[ {]?|\}\{)\Z")
_SIGNED = re.compile(rf"(?:(?:^|(?!{_SIGN})[^\w)\]}}%]|\\[A-Za-z]+)({_SIGN})|=\s?({_SIGN})\s){_MONEY}\Z")
_OPERATOR = re.compile(
    rf"(?:\s*[A-Za-z%]+\s)?[\s)\]}}$£€¥₹\\]*?"
    rf"(?:{_SIGN}|[*×·÷/x^]|\\(?:times|cdot|div)|plus|minus|times|over|divided by)[\s(\[{{$£€¥₹\\]*"
)
_NUMBER_PART, _EXPONENT = re.compile(r"[\d.,:^_/]+"), re.compile(r"[eE][-+]?\d{1,3}")
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _whole(digits: str) -> str | None:
    first, *groups = digits.split(",")
    if groups and (not 1 <= len(first) <= 3 or first[0] == "0" or any(len(group) != 3 for group in groups)):
        return None
    digits = first + "".join(groups)
    return (digits.lstrip("0") or "0") if digits.isdigit() else None


def _fraction(above: str, below: str) -> str | None:
    numerator, denominator = _whole(above), _whole(below)
    if numerator is None or denominator in (None, "0"):
        return None
    if max(len(numerator), len(denominator)) > 100:  # int() and gcd are quadratic; `same_number` compares these
        return f"{numerator}/{denominator}"
    ratio = Fraction(int(numerator), int(denominator))
    places = ratio.denominator.bit_length()  # enough for any fraction that has a finite decimal expansion
    digits, rest = divmod(ratio.numerator * 10**places, ratio.denominator)
    return f"{ratio.numerator}/{ratio.denominator}" if rest else _unsigned(f"{digits}e-{places}")


def _unsigned(chunk: str) -> str | None:
    """The canonical spelling of, for example, `1,000.50`, `18kg`, `1e3` or `1/2`; None: not a number."""
    body = chunk.rstrip(".,:_/^")
    if body.isdigit():
        return body.lstrip("0") or "0"
    if not body:  # \\frac{,}{,}
        return None
    number = _NUMBER_PART.match(body)[0]
    unit = body[len(number) :]
    exponent = unit if _EXPONENT.fullmatch(unit) else ""
    if not exponent and any(map(str.isdigit, unit)):
        return None
    above, slash, below = number.rstrip(".,:_/").partition("/")
    if slash:
        return None if exponent else _fraction(above, below)
    above, _, below = above.partition(".")
    whole = _whole(above)
    if whole is None or not (below + "0").isdigit():
        return None
    return format(_EXACT.normalize(Decimal(f"{whole}.{below}{exponent}")), "f")


def read_number(text: str, start: int, end: int) -> str | None:
    """The canonical spelling of the number at a match of `RUN`; None: not a number; "": skip it."""
    chunk, after = text[start:end], text[end : end + 8]
    before = text[max(0, start - 12) : start]
    if chunk[0] == "\\":
        chunk = chunk[chunk.index("{") + 1 : -1].replace("}{", "/")
    elif "\\" in chunk or "{" in chunk:
        chunk = chunk.replace("{,}", ",").replace("\\!", "").replace("\\,", ",")
    if not chunk.isascii():
        chunk = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in chunk)
    raised = chunk[-1].isdigit() and after[:1].isnumeric() and not after[0].isalpha()  # 5², 1½
    if raised or (chunk[-1] == "^" and not after.startswith(("\\circ", "{\\circ"))):
        return None
    if before.endswith(".") and (len(before) == 1 or not (before[-2].isalnum() or before[-2] in ".)]}")):
        before, chunk = before[:-1], "0." + chunk
    if _PART_OF_WORD.search(before):
        return ""
    if _NO_NUMBER_AFTER.search(before):
        return None
    sign = _SIGNED.search(before)
    value = _unsigned(chunk)
    return f"-{value}" if sign and (sign[1] or sign[2]) not in "+＋" and value not in (None, "0") else value


def find_numbers(text: str) -> list[tuple[int, str | None]]:
    """(position, value) of everything that looks like a number; value None: malformed; "": an operand."""
    found: list[tuple[int, str | None]] = []
    last_end = 0
    for match in RUN.finditer(text):
        start, end = match.span()
        if (value := read_number(text, start, end)) == "":
            continue
        if found and start - last_end <= 40 and _OPERATOR.fullmatch(text, last_end, start):
            found[-1], value = (found[-1][0], ""), ""
        found.append((start, value))
        last_end = end
    return found


def after_equals(text: str, numbers: list[tuple[int, str | None]]) -> str | None:
    """The only number after the last `=`."""
    sign = text.rfind("=")
    values = {value for start, value in numbers if start > sign >= 0}
    return values.pop() if len(values) == 1 else None


def one_number(text: str, place: str) -> tuple[str | None, str]:
    """The number that a solution block or the like states, and the reason to give if there is none."""
    numbers = find_numbers(text)
    values = {value for _, value in numbers}
    if values <= {None}:
        return None, f"no number in {place}"
    problem = "an expression" if "" in values else "two different numbers"
    value = values.pop() if len(values) == 1 else after_equals(text, numbers)
    return value or None, f"{problem} in {place}"


@lru_cache(maxsize=8192)
def gold_value(gold: str) -> str:
    """The canonical spelling of a gold answer: "1,000" gives "1000". Raises ValueError if it is not a number."""
    value, _ = one_number(gold, "the gold answer")
    if value is None or "=" in gold or re.search(r"(?<![\\\w])[^\W\d_]", gold):
        raise ValueError(f"the gold answer must be one number, not {gold[:60]!a}")
    return value


def same_number(left: str, right: str) -> bool:
    """Whether two canonical spellings are the same number (the spelling of a long fraction is not reduced)."""
    if left == right or "/" not in left + right:
        return left == right
    (a, _, b), (c, _, d) = left.partition("/"), right.partition("/")
    return _EXACT.multiply(Decimal(a), Decimal(d or 1)) == _EXACT.multiply(Decimal(c), Decimal(b or 1))
