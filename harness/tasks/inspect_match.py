"""Inspect's `match(numeric=True)`: it compares the last word that is a number, to five significant digits.

The rule is that of UKGovernmentBEIS/inspect_ai 0.3.285 (scorer/_match.py, _common.py and _unicode.py,
_util/text.py), with which inspect_evals 0.26.0 scores GSM8K; rewritten here in linear time. Words are separated by
whitespace, so the `<SOLUTION>18</SOLUTION>` of the tutorial's format is not a number: the rule then takes the last
free-standing number of the working.

First, currency signs, commas, `*`, `_` and dots that no digit follows are removed from the text, and punctuation from
the ends of the word. A number is then what Python's float reads, or digits of any script with signs of any script
before them, grouping marks, one fraction character, a superscript exponent, or Chinese numerals. If the original fails
with an exception (a Chinese numeral too long for a float), no number is found here.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata

_MARKS = re.compile(r"\\?[$,£€*_]")  # formatting, with the backslash that LaTeX puts before it
_IDLE_DOT = re.compile(r"\.(?!\d)")
_AROUND = "!?:;()[]{}'\"`"
_ASCII_PARTS = "0123456789.e+-'"  # of a number; the text is in lower case
_MINUS, _PLUS = "-−﹣－负負", "+＋﹢正"
_GROUPING = ",，﹐、٬'’ʼ＇"
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT_DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_SPELLED_NUMBER = re.compile(r"[0-9.,]+(?:e[-+]?[0-9.,]*)?")

_POINTS = "点點．."
_ZEROS = "零〇○"
_DIGITS = {
    character: digit
    for digit, characters in enumerate(
        (_ZEROS, "一壹幺", "二贰貳两兩", "三叁參", "四肆", "五伍", "六陆陸", "七柒", "八捌", "九玖")
    )
    for character in characters
}
_TENS = {"廿": 20, "卅": 30, "卌": 40}
_SMALL_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_LARGE_UNITS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8, "兆": 10**12}
_UNITS = _TENS.keys() | _SMALL_UNITS.keys() | _LARGE_UNITS.keys()
_CHINESE = _DIGITS.keys() | _UNITS | {"点", "點"}


def match(text: str, target: str) -> tuple[str | None, bool]:
    """The answer found in a text, or None, and whether it equals the target.

    A target that is not a number under this rule (`1/2`) is compared as in the original: with the end of the text.
    """
    wanted = _number("".join(_bare(target).split()))
    if wanted is None:
        around = string.whitespace + string.punctuation
        return text.strip() or None, text.strip().casefold().strip(around).endswith(_bare(target).strip(around))
    for word in reversed(_bare(text).split()):
        if (found := _number(word)) is not None:
            return f"{found:.5g}", f"{found:.5g}" == f"{wanted:.5g}"
    return None, False


def _bare(text: str) -> str:
    return _IDLE_DOT.sub("", _MARKS.sub("", text.strip().casefold()))


def _number(word: str) -> float | None:
    """The finite value of a bare word, or None."""
    word = word.strip(_AROUND)
    if word.isascii() and word.strip(_ASCII_PARTS):  # a shortcut for almost every word
        return None
    for read in (float, _any_script):
        try:
            if math.isfinite(value := read(word)):
                return value
        except (ValueError, ArithmeticError):
            continue
    return None


def _any_script(word: str) -> float:
    """The value of a word in any script. Raises ValueError or ArithmeticError if it is not a number."""
    start, sign = 0, 1.0
    while start < len(word) and word[start] in _MINUS + _PLUS:
        sign = -sign if word[start] in _MINUS else sign
        start += 1
    word = word[start:]
    if len(word) == 1 and (value := unicodedata.numeric(word, None)) is not None:
        return sign * value
    base = word.rstrip(_GROUPING)
    power = base[len(base.rstrip(_SUPERSCRIPT_DIGITS)) :]
    base = base.removesuffix(power)
    if power and base[-1:] in ("⁻", "⁺"):
        base, power = base[:-1], base[-1] + power
    if not power or not base:
        return sign * _with_fraction(word)
    return float((sign * _with_fraction(base)) ** int(power.translate(_SUPERSCRIPT)))


def _with_fraction(word: str) -> float:
    places = [place for place, character in enumerate(word) if 0 < unicodedata.numeric(character, 0) < 1]
    if not places:
        return _plain(word)
    head, tail = word[: places[0]], word[places[0] + 1 :]
    if tail.strip(_GROUPING):
        raise ValueError("something follows the fraction")
    return (_plain(head) if head else 0.0) + unicodedata.numeric(word[places[0]])


def _plain(word: str) -> float:
    if not _CHINESE.isdisjoint(word) and (value := _chinese(word)) is not None:
        return value
    spelled = word.translate(_SPELLING)
    if _SPELLED_NUMBER.fullmatch(spelled):
        try:
            return float(spelled.replace(",", ""))
        except ValueError:
            pass
    if len(word) != 1:
        raise ValueError("not a number")
    return unicodedata.numeric(word)


def _digit(character: str) -> int | None:
    return unicodedata.digit(character, _DIGITS.get(character))


class _Spelling(dict):
    """For str.translate: a character as the ASCII character that it stands for in a number, "?" for any other."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        meanings = (("-", _MINUS[:-2]), ("+", _PLUS[:-1]), (".", ".٫．"), (",", _GROUPING), ("e", "e"))
        found = [meaning for meaning, characters in meanings if character in characters]
        digit = _digit(character)
        self[code] = found[0] if found else "?" if digit is None else str(digit)
        return self[code]


_SPELLING = _Spelling()


def _chinese(word: str) -> float | None:
    """The value of a Chinese numeral; None if the word contains anything else."""
    point = next((point for point in _POINTS if point in word), None)
    whole, _, below = word.partition(point) if point else (word, "", "")
    if _UNITS.isdisjoint(whole):
        digits = [_digit(character) for character in whole]
        value = None if None in digits else int("".join(map(str, digits)) or "0")
    else:
        value = _chinese_units(whole)
    fraction, place = 0.0, 0.1
    for digit in map(_digit, below):
        if digit is None:
            return None
        fraction, place = fraction + digit * place, place / 10
    return None if value is None else float(value) + fraction


def _chinese_units(whole: str) -> int | None:
    total = section = number = 0
    for character in whole:
        digit = _digit(character)
        if character in _LARGE_UNITS:
            total, section, number = total + (section + number) * _LARGE_UNITS[character], 0, 0
        elif character in _SMALL_UNITS:
            section, number = section + (number or 1) * _SMALL_UNITS[character], 0
        elif character in _TENS:
            section += _TENS[character]
        elif digit is None:
            return None
        elif character not in _ZEROS:
            number = digit
    return total + section + number
