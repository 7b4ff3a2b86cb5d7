"""The vocabulary and the kinds of word problem that problems.py draws from: plain data.

To add a problem, add a Template. Its ranges must leave enough different tuples of numbers for the smallest split, and
every step must be a whole number up to problems.MAX_VALUE often enough to be found by random draws.
"""

from __future__ import annotations

from dataclasses import dataclass

WORDS: dict[str, tuple[str, ...]] = {
    "name": (
        *(
            "Ada",
            "Basil",
            "Clementine",
            "Doris",
            "Edgar",
            "Flora",
            "Gus",
            "Hazel",
            "Igor",
            "Juno",
            "Kiki",
            "Leo",
        ),
        *(
            "Mabel",
            "Nico",
            "Olive",
            "Pablo",
            "Quinn",
            "Rosa",
            "Sven",
            "Tilda",
            "Umberto",
            "Vera",
            "Wanda",
            "Zeno",
        ),
    ),
    "animal": (
        *("otter", "badger", "goose", "dragon", "hedgehog", "llama", "penguin", "raccoon", "walrus", "yeti"),
        *("hamster", "parrot", "goat", "snail", "moose", "ferret"),
    ),
    "food": (
        *(
            "muffins",
            "dumplings",
            "pancakes",
            "waffles",
            "pickles",
            "cookies",
            "pretzels",
            "turnips",
            "plums",
        ),
        *("meatballs", "tacos", "figs", "scones", "radishes"),
    ),
    "thing": (
        *("marbles", "kites", "teapots", "buttons", "spoons", "stamps", "balloons", "ukuleles", "lanterns"),
        *("umbrellas", "postcards", "whistles", "pebbles", "puppets"),
    ),
    "wear": (
        *(
            "socks",
            "hats",
            "scarves",
            "capes",
            "slippers",
            "mittens",
            "bow ties",
            "sweaters",
            "bonnets",
            "wigs",
        ),
        *("boots", "medals"),
    ),
    "place": (
        *("sofa", "piano", "stairs", "bathtub", "wardrobe", "fridge", "porch", "carpet", "bookcase", "bed"),
        *("shed", "oak tree"),
    ),
    "mood": ("sneaky", "polite", "sleepy", "grumpy", "hungry", "tiny", "royal", "dizzy", "shy", "retired"),
}


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of problem."""

    name: str
    question: str  # {a} to {d} are numbers, the other fields are keys of WORDS
    steps: tuple[tuple[str, str, str, str], ...]  # left, operator, right, words; x, y, z are the steps' results
    ranges: dict[str, tuple[int, int]]  # inclusive; draws that problems._solve rejects are repeated


TEMPLATES = (
    Template(
        "sofa",
        "{name} the {animal} owns {a} {wear} and finds {b} more behind the {place}."
        " How many {wear} does {name} have now?",
        (("a", "+", "b", "{wear}"),),
        {"a": (12, 99), "b": (12, 99)},
    ),
    Template(
        "thief",
        "{name} makes {a} {food}. A {mood} {animal} eats {b} of them. How many {food} are left?",
        (("a", "-", "b", "{food} left"),),
        {"a": (30, 160), "b": (12, 99)},
    ),
    Template(
        "parade",
        "There are {b} {mood} {animal} dancers in the parade, and each one wears {a} {wear}."
        " How many {wear} are in the parade?",
        (("a", "*", "b", "{wear}"),),
        {"a": (2, 9), "b": (11, 44)},
    ),
    Template(
        "boxes",
        "{name} buys {a} boxes with {b} {food} in each, and gives {c} of the {food} to a {mood} {animal}."
        " How many {food} does {name} keep?",
        (("a", "*", "b", "{food}"), ("x", "-", "c", "{food} left")),
        {"a": (3, 9), "b": (12, 40), "c": (5, 80)},
    ),
    Template(
        "lost",
        "{name} had {a} {thing}, lost {b} of them under the {place}, won {c} more from a {mood} {animal} and sold them"
        " all for {d} coins each. How many coins does {name} get?",
        (("a", "-", "b", "{thing}"), ("x", "+", "c", "{thing} to sell"), ("d", "*", "y", "coins")),
        {"a": (20, 70), "b": (5, 60), "c": (5, 60), "d": (2, 9)},
    ),
    Template(
        "circus",
        "A ticket to the {animal} circus costs {a} coins, and a bag of {food} costs {b} coins."
        " {name} buys one of each and pays with {c} coins. How many coins come back?",
        (("a", "+", "b", "coins to pay"), ("c", "-", "x", "coins back")),
        {"a": (12, 70), "b": (3, 50), "c": (60, 200)},
    ),
    Template(
        "pages",
        "{name} reads {a} pages to a {mood} {animal} each morning and {b} pages each night."
        " How many pages is that in {c} days?",
        (("a", "+", "b", "pages a day"), ("c", "*", "x", "pages")),
        {"a": (4, 30), "b": (4, 30), "c": (3, 9)},
    ),
    Template(
        "together",
        "{name} has {a} {thing}. A {mood} {animal} has {b} more {thing} than {name}."
        " How many {thing} do they have together?",
        (("a", "+", "b", "{thing} for the {animal}"), ("a", "+", "x", "{thing} together")),
        {"a": (12, 99), "b": (5, 90)},
    ),
    Template(
        "treasure",
        "Captain {name} digs up {a} chests with {b} {thing} in each. The {mood} {animal} already had {c}, and {d}"
        " pirates share it all equally. How many {thing} does each pirate get?",
        (("a", "*", "b", "{thing} dug up"), ("x", "+", "c", "{thing}"), ("y", "/", "d", "each")),
        {"a": (3, 9), "b": (12, 40), "c": (12, 90), "d": (2, 9)},
    ),
    Template(
        "plates",
        "{name} fries {a} {food} and burns {b} of them. The good ones go onto {c} plates, the same number on each."
        " How many {food} does the {animal} find on one plate?",
        (("a", "-", "b", "good {food}"), ("x", "/", "c", "on a plate")),
        {"a": (40, 160), "b": (3, 40), "c": (3, 9)},
    ),
    Template(
        "knitting",
        "A {mood} {animal} ordered {c} {wear}. {name} knits {a} {wear} a week for {b} weeks."
        " How many {wear} are still missing?",
        (("a", "*", "b", "{wear} done"), ("c", "-", "x", "still missing")),
        {"a": (3, 9), "b": (11, 30), "c": (90, 300)},
    ),
    Template(
        "mountain",
        "A {mood} {animal} climbs {a} steps every minute for {b} minutes, but stops {c} times for {food} and slides"
        " down {d} steps each time. How many steps up is the {animal}?",
        (("a", "*", "b", "steps up"), ("c", "*", "d", "steps down"), ("x", "-", "y", "steps")),
        {"a": (3, 9), "b": (11, 40), "c": (2, 9), "d": (3, 30)},
    ),
    Template(
        "bus",
        "{a} passengers ride the {mood} bus of {name} the {animal}. {b} get off and {c} get on."
        " Then everyone on board pays {d} coins. How many coins is that?",
        (("a", "-", "b", "stay"), ("x", "+", "c", "on board"), ("d", "*", "y", "coins")),
        {"a": (12, 60), "b": (3, 40), "c": (3, 40), "d": (2, 9)},
    ),
    Template(
        "stall",
        "At the market {name} sells {a} {food} for {b} coins each and {c} {thing} for {d} coins each."
        " How many coins does {name} earn?",
        (("a", "*", "b", "for {food}"), ("c", "*", "d", "for {thing}"), ("x", "+", "y", "coins")),
        {"a": (11, 40), "b": (2, 9), "c": (11, 40), "d": (2, 9)},
    ),
    Template(
        "wages",
        "{name} walks a {mood} {animal} for {a} coins a day. After {b} days {name} spends {c} coins on {wear}"
        " and {d} coins on {food}. How many coins are left?",
        (("a", "*", "b", "coins earned"), ("x", "-", "c", "coins"), ("y", "-", "d", "coins left")),
        {"a": (3, 9), "b": (12, 40), "c": (5, 80), "d": (5, 60)},
    ),
    Template(
        "harvest",
        "{name} picks {a} baskets with {b} {food} in each. {c} {food} go to a {mood} {animal}, and the rest fill"
        " {d} jars equally. How many {food} are in one jar?",
        (("a", "*", "b", "{food}"), ("x", "-", "c", "left"), ("y", "/", "d", "in a jar")),
        {"a": (3, 9), "b": (12, 40), "c": (5, 80), "d": (2, 9)},
    ),
    Template(
        "shelves",
        "{name} has {a} shelves. Each holds {b} {thing} and {c} {wear}. A {mood} {animal} borrows {d} of them all."
        " How many are left on the shelves?",
        (("b", "+", "c", "on a shelf"), ("a", "*", "x", "in all"), ("y", "-", "d", "left")),
        {"a": (3, 9), "b": (4, 25), "c": (4, 25), "d": (5, 80)},
    ),
    Template(
        "choir",
        "The {animal} choir of {name} has {a} rows with {b} singers in each. {c} more join, and {d} of them all"
        " catch a cold from wet {wear}. How many can sing?",
        (("a", "*", "b", "singers"), ("x", "+", "c", "singers"), ("y", "-", "d", "can sing")),
        {"a": (3, 9), "b": (11, 35), "c": (5, 60), "d": (5, 80)},
    ),
)
