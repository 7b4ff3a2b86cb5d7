"""What counts as a number in a model's text, and when two spellings are the same number.

Digits (of any script, as in the tutorial's patterns and Python's float) with commas in threes (or LaTeX's `{,}` and
`\,`), a decimal point, an exponent of up to three digits; or a fraction of whole numbers (`1/2`, `\frac{1}{2}`).

- Currency, markup, `%` and units count for nothing, also where they touch the number: `$18`, `Rs18`, `USD18`, `18%`,
  `18kg`, `18m^2` are 18. A magnitude counts: `18 thousand`, `1.5 million`, `18k`, `18K`, `$1.45M` (a small `m` is
  metres).
- A sign touches its number or its currency sign and follows no operand (`20-2` holds 20 and 2); a loose minus counts
  after `=` alone: elsewhere it is a bullet or an operator.
- A time on the full hour is the hour: `2:00 pm` is 2.
- Malformed, and so no answer: a lone group of three digits behind a blank or an apostrophe (`18 000`, `1'018`,
  `18, 000`; not in `2, 64, 128`, a list), and a number that another one touches or completes (`18½`, `1 1/2`,
  `2\frac{1}{2}`, `3\sqrt{2}`, `5'6`, `18€50`, `18万`).
- No numbers: `1,00`, `1.2.3`, `3:30`, `1_000`, `9x2`, powers, roots, `±5`, numbers in words. Exponents and the digits
  of a word (`cm^2`, `CO2`) are passed over.
- The numbers of a sum, a product or a range (`9 + 9`, `5-5`) are operands, none of which is an answer.

Values are compared as digit strings, so Python's limit on int-to-str conversion never matters.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

_BODY = r"[\dA-Za-z.,:^_/]*"
_BLANK = r"(?:\\?[^\S\n]|~)"
# What may follow a digit, or a digit and a comma, and makes the number malformed. The lookbehinds before the group of
# three say: behind `, ` it is a group only after three digits at most that stand in no list.
_TOUCHING = (
    rf"(?=[^\w\n])(?:(?<=\d)(?=\\?[^\S\n]?[\d\\√¼-¾⅐-⅞]|['’‘´，~€£¥٫٬])(?:(?:(?:{_BLANK}|['’‘´，])\d{{3}}(?!\d))+"
    rf"|['’‘´€£¥٫٬]\d|{_BLANK}\d+/\d|{_BLANK}?(?:\\[dt]?frac|\\sqrt|√|[¼-¾⅐-⅞]))"
    r"|(?<=\d,)(?<!\d{4},)(?<!\d,\s\d,)(?<!\d,\s\d\d,)(?<!\d,\s\d{3},)[^\S\n](?:000(?!\d)|\d{3}(?!\d|,\s?\d)))"
    r"|(?<=\d)[¼-¾⅐-⅞百千万萬亿億]"
)
# Group 1 is there in a malformed number.
RUN = re.compile(
    rf"\\[dt]?frac(?:\{{[\d,]+\}}){{2}}"
    rf"|\d{_BODY}(?:(?:\{{,\}}|\\[!,]|(?<=\d[eE])[-+]\d){_BODY})*((?:{_TOUCHING}){_BODY})?"
)
_CODE = (
    r"(?:[A-Z]{0,2}\$|Rs\.?|RM|kr|USD|EUR|GBP|JPY|CNY|RMB|INR|AUD|CAD|NZD|CHF|SEK|NOK|DKK|PLN|CZK|HUF|RUB|TRY|ILS|AED"
    r"|SAR|ZAR|NGN|KES|GHS|EGP|PKR|BDT|LKR|NPR|PHP|THB|MYR|IDR|VND|KRW|TWD|HKD|SGD|BRL|MXN|ARS|CLP|COP|PEN)"
)
_SIGNS, _PLAIN = frozenset("-−–‑－﹣+＋"), frozenset(" \n$(*>=")
_SIGN, _MONEY = r"[\-−–‑－﹣+＋]", rf"(?:(?:\\?[$£€¥₹₽₱฿₦₫₩₪₺]|{_CODE})\s?)?"
# The next four see only the few characters before a number.
_PART_OF_WORD = re.compile(r"(?:(?:^|[^\\A-Za-z])[A-Za-zÀ-ɏͰ-ԯ]+|[A-Za-z\d]_|(?:^|[^)\]}]|[A-Za-z]\})\^\{?)\Z")
_AFTER_CODE = re.compile(rf"(?<![A-Za-z]){_CODE}\Z")
_NO_NUMBER_AFTER = re.compile(r"(?:[√±\d]|[)\]}]\^\{?|\\(?:[dt]?frac|sqrt|pm|mp)[ {]?|\}\{)\Z")
_SIGNED = re.compile(
    rf"(?:(?:^|(?!{_SIGN})[^\w)\]}}%]|\\[A-Za-z]+|(?<![A-Za-z]){_CODE})({_SIGN})|=\s?({_SIGN})\s){_MONEY}\Z"
)
_OPERATOR = re.compile(
    rf"(?:\s*[A-Za-z%]+\s)?[\s)\]}}$£€¥₹\\]*?"
    rf"(?:{_SIGN}|[*×·÷/x^]|\\(?:times|cdot|div)|plus|minus|times|over|divided by)[\s(\[{{$£€¥₹\\]*"
)
_NUMBER_PART, _EXPONENT = re.compile(r"[\d.,:^_/]+"), re.compile(r"[eE][-+]?\d{1,3}")
_HOUR = re.compile(r"\d\d?:00")
# Letters with a square or a cube: of a length, or per a time.
_LENGTH = r"(?:[A-Za-z]+/)?(?:[cdkmn]?m|in|ft|yd|mi|inch(?:es)?|feet|foot)|[A-Za-z]+/s"
_SQUARED, _TO_BE_SQUARED = re.compile(rf"(?:{_LENGTH})\^?[23]"), re.compile(rf"[\d.,]+(?:{_LENGTH})\^")
_MAGNITUDE = re.compile(
    r"[^\S\n*_$}~\\-]?[*_$}~\\ -]{0,4}(?:\\?(?:text|mathrm|mbox)\{\s?)?"
    r"([Hh]undred|[Tt]housand|[MmBb]illion|[Tt]rillion|HUNDRED|THOUSAND|[MB]ILLION|TRILLION)[Ss]?(?![A-Za-z])"
)
_ZEROS = {"k": 3, "K": 3, "M": 6, "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


class Number(NamedTuple):
    """What looks like a number in a text."""

    start: int
    end: int  # without the punctuation behind it
    value: str | None  # its canonical spelling; None: malformed, or no number
    operand: bool  # an operator stands between it and a neighbour


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
    """The canonical spelling of such as `1,000.50`, `18kg`, `18k`, `1e3`, `1/2`; None: no number."""
    body = chunk.rstrip(".,:_/^")
    if body.isdigit():
        return body.lstrip("0") or "0"
    if not body:  # \\frac{,}{,}
        return None
    number = _NUMBER_PART.match(body)[0]
    unit = body[len(number) :]
    exponent = unit if _EXPONENT.fullmatch(unit) else ""
    if not exponent and any(map(str.isdigit, unit)) and not _SQUARED.fullmatch(unit):
        return None
    if zeros := _ZEROS.get(unit.partition("/")[0]) if unit else None:
        return _scaled(_unsigned(number), zeros)
    number = number.rstrip(".,:_/")
    if _HOUR.fullmatch(number):
        number = number[:-3]
    above, slash, below = number.partition("/")
    if slash:
        return None if exponent else _fraction(above, below)
    above, _, below = above.partition(".")
    whole = _whole(above)
    if whole is None or not (below + "0").isdigit():
        return None
    return format(_EXACT.normalize(Decimal(f"{whole}.{below}{exponent}")), "f")


def _scaled(value: str | None, zeros: int) -> str | None:
    if value is None:
        return None
    above, _, below = value.partition("/")
    return _fraction(above + "0" * zeros, below) if below else format(_EXACT.scaleb(Decimal(value), zeros), "f")


def read_number(text: str, match: re.Match[str]) -> str | None:
    """The canonical spelling of the number at a match of `RUN`; None: malformed, or no number; "": pass over it."""
    start, end = match.span()
    chunk, after, before = match[0], text[end : end + 28], text[max(0, start - 12) : start]
    touched = match.lastindex
    if touched:
        pass
    elif chunk[0] == "\\":
        chunk = chunk[chunk.index("{") + 1 : -1].replace("}{", "/")
    elif "\\" in chunk or "{" in chunk:
        chunk = chunk.replace("{,}", ",").replace("\\!", "").replace("\\,", ",")
    if not chunk.isascii():
        chunk = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in chunk)
    raised = chunk[-1].isdigit() and after[:1].isnumeric() and not after[0].isalpha()  # 5², 1½
    if raised or (chunk[-1] == "^" and not after.startswith(("\\circ", "{\\circ")) and not _TO_BE_SQUARED.match(chunk)):
        return None
    if before.endswith(".") and (len(before) == 1 or not (before[-2].isalnum() or before[-2] in ".)]}")):
        before, chunk = before[:-1], "0." + chunk
    if before[-1:] not in _PLAIN or "\\" in before:  # much cheaper than the patterns
        if _PART_OF_WORD.search(before) and not _AFTER_CODE.search(before):
            return ""
        if _NO_NUMBER_AFTER.search(before):
            return None
    if touched:
        return None
    value = _unsigned(chunk)
    if chunk[-1].isdigit() and (magnitude := _MAGNITUDE.match(after)):
        value = _scaled(value, _ZEROS[magnitude[1].lower()])
    sign = None if _SIGNS.isdisjoint(before) else _SIGNED.search(before)
    return f"-{value}" if sign and (sign[1] or sign[2]) not in "+＋" and value not in (None, "0") else value


def number_end(match: re.Match[str]) -> int:
    """Where the number at a match of `RUN` ends, without the punctuation behind it."""
    return match.start() + len(match[0].rstrip(".,:_/^"))


def find_numbers(text: str) -> list[Number]:
    """All that looks like a number, in its order."""
    found: list[Number] = []
    for match in RUN.finditer(text):
        if (value := read_number(text, match)) == "":
            continue
        start = match.start()
        if found and start - found[-1].end <= 40 and _OPERATOR.fullmatch(text, found[-1].end, start):
            found[-1] = Number(*found[-1][:3], True)
            found.append(Number(start, number_end(match), value, True))
        else:
            found.append(Number(start, number_end(match), value, False))
    return found


@lru_cache(maxsize=8192)
def gold_value(gold: str) -> str:
    """The canonical spelling of a gold answer: "1,000" gives "1000". Raises ValueError if it is no number."""
    numbers = {number[2:] for number in find_numbers(gold)}
    value, operand = numbers.pop() if len(numbers) == 1 else (None, False)
    controls = any(unicodedata.category(character) == "Cc" for character in gold)
    if value is None or controls or operand or "=" in gold or re.search(r"(?<![\\\w])[^\W\d_]", gold):
        raise ValueError(f"the gold answer must be one number, not {gold[:60]!a}")
    return value


def same_number(left: str, right: str) -> bool:
    """Whether two canonical spellings are the same number (the spelling of a long fraction is not reduced)."""
    if left == right or "/" not in left + right:
        return left == right
    (a, _, b), (c, _, d) = left.partition("/"), right.partition("/")
    return _EXACT.multiply(Decimal(a), Decimal(d or 1)) == _EXACT.multiply(Decimal(c), Decimal(b or 1))
