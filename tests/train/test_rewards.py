"""Rewards: the tutorial's golden table and quirks, the robust table, and the user's own functions."""

from __future__ import annotations

import copy
import random
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.bench.speed import hostile_texts
from harness.config import loading, schema
from harness.models.checkpoint import file_hash
from harness.tasks.records import Tags
from harness.train import rewards
from harness.train.custom_rewards import RewardError, RewardFunction
from harness.train.reward_pieces import PIECES, Setting
from harness.train.rewards import PROFILES, build, disagreement
from tests.conftest import EIGHTFOLD, ROOT, growth, harness, refused

TAGS = Tags()
SETTING = Setting(TAGS, max_tokens=100, seed=3407, generations=4)
WS, WE, SS, SE = TAGS.working_start, TAGS.working_end, TAGS.solution_start, TAGS.solution_end
HEAD = f"{WS}some working{WE}\n{SS}"
NAMES = ["format_exact", "format_approximate", "check_answer", "check_numbers"]


def built(profile: str, names: list[str] = NAMES, base_dir: Path = Path()) -> list[RewardFunction]:
    return build(names, profile=profile, setting=SETTING, base_dir=base_dir)


def rewarded(profile: str, text: str, gold: str) -> list[float | None]:
    """The four rewards of one completion, asked for as TRL asks."""
    prompts = [[{"role": "user", "content": "How many?"}]]
    completions = [[{"role": "assistant", "content": text}]]
    columns = {"completion_ids": [[1, 2]], "trainer_state": None, "log_metric": print, "problem_id": ["x"]}
    given = {"prompts": prompts, "completions": completions, "answer": [gold], **columns}
    return [function(**given)[0] for function in built(profile)]


# --- the tutorial's profile


@pytest.mark.parametrize(
    ("solution", "gold", "answer", "numbers"),
    [
        ("18", "18", 3.0, 1.5),
        ("\n18\n", "18", 1.5, 1.5),
        ("18.0", "18", 0.5, 1.5),
        ("$18", "18", -0.5, 1.5),
        ("1000", "1,000", -0.5, 0.0),
        ("1,000", "1,000", 3.0, 0.0),
        ("1,000", "1", -0.5, 1.5),
        ("-5", "-5", 3.0, 0.0),
        ("-5", "5", -1.0, 1.5),
        ("15", "16", 0.5, 0.0),
        ("13", "16", 0.25, 0.0),
        ("5", "0", -0.5, 0.0),
        # What Python's float takes for a number, and the edges of the two bands.
        ("1_000", "1000", 0.5, 0.0),
        ("１８", "18", 0.5, 1.5),
        ("nan", "18", -1.0, 0.0),
        (" inf", "18", -1.0, 0.0),
        ("inf", "inf", 3.0, 0.0),
        ("1e2", "100", 0.5, 0.0),
        ("9" * 400, "18", -1.0, 0.0),
        ("90", "100", 0.5, 0.0),
        ("110.00000000000001", "100", 0.5, 0.0),
        ("120", "100", 0.25, 0.0),
        ("80", "100", 0.25, 0.0),
        ("121", "100", -1.0, 0.0),
        ("-100", "-100.0", 0.5, 0.0),
        ("1.2.3", "1", -0.5, 0.0),
        (" ", "18", -0.5, 0.0),
        ("eighteen", "18", -0.5, 0.0),
    ],
)
def test_the_tutorials_golden_table(solution, gold, answer, numbers):
    assert rewarded("tutorial", f"{HEAD}{solution}{SE}", gold) == [3.0, 2.0, answer, numbers]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Hello\n{HEAD}18{SE}\nBye", [3.0, 2.0, 3.0, 1.5]),
        (f"Hello {HEAD}18{SE}", [0.0, 2.0, 0.0, 1.5]),
        (f"{HEAD}18{SE}.", [0.0, 2.0, 0.0, 1.5]),
        (f"{WS} {WE}{SS} {SE}", [3.0, 2.0, -0.5, 0.0]),
        (f"{WS}{WE}{SS}18{SE}", [0.0, 2.0, 0.0, 1.5]),
        (f"{HEAD}{SE} 18", [0.0, 2.0, 0.0, 1.5]),
        (f"{HEAD}18{SE}\n{SS}20{SE}", [3.0, 0.0, 3.0, 1.5]),
        (f"{HEAD}18{SE} {SS}20{SE}", [3.0, 0.0, -0.5, 1.5]),
        ("18", [0.0, -2.0, 0.0, 0.0]),
        ("", [0.0, -2.0, 0.0, 0.0]),
        (f"{WS}{WS}{SS}18{SE}", [0.0, 0.0, 0.0, 1.5]),
    ],
)
def test_the_tutorials_quirks(text, expected):
    assert rewarded("tutorial", text, "18") == expected


def plain_tutorial(text: str, gold: str) -> list[float]:
    """The tutorial's rewards of one text, reimplemented with plain patterns and none of our code."""
    whole = re.compile(rf"^[\s]{{0,}}{WS}.+?{WE}.*?{SS}(.+?){SE}[\s]{{0,}}$", re.MULTILINE | re.DOTALL)
    first_number = re.compile(rf"{SS}.*?([\d\.]{{1,}})", re.MULTILINE | re.DOTALL)
    found, number = whole.search(text), first_number.search(text)
    approximate = sum(0.5 if text.count(tag) == 1 else -0.5 for tag in (WS, WE, SS, SE))
    answer = numbers = 0.0
    if found:
        guess = found.group(1)
        if guess == gold:
            answer = 3.0
        elif guess.strip() == gold.strip():
            answer = 1.5
        else:
            try:
                ratio = float(guess) / float(gold)
                near, nearer = 0.8 <= ratio <= 1.2, 0.9 <= ratio <= 1.1
                answer = 0.5 if nearer else 0.25 if near else -1.0
            except Exception:
                answer = -0.5
    if number:
        try:
            numbers = 1.5 if float(gold.strip()) == float(number.group(1).strip()) else 0.0
        except Exception:
            numbers = 0.0
    return [3.0 if found else 0.0, approximate, answer, numbers]


def test_the_tutorials_profile_against_plain_patterns():
    draw = random.Random(20250102)
    golds = ["18", "16", "1,000", "-5", "0", "5", "1", "1000", " 18 ", "0.5", "none"]
    inside = [
        *golds,
        "15",
        "13",
        "18.0",
        "$18",
        "\n18\n",
        "nan",
        "inf",
        "1_000",
        ".",
        "1.2.3",
        "٣",
        "１８",
        "²",
    ]
    pieces = [
        WS,
        WE,
        SS,
        SE,
        "\n",
        "\n",
        " ",
        "\r\n",
        "\u2003",
        "\x85",
        "\u2028",
        "\x1c",
        *inside,
        ",",
        "-",
        "x",
    ]
    functions = built("tutorial")
    seen: set[tuple[float, ...]] = set()
    matches = 0
    for _ in range(12_000):
        parts = [WS, draw.choice(pieces), WE, draw.choice(pieces), SS, draw.choice(inside), SE]
        for _ in range(draw.choice((0, 0, 1, 2, 4))):
            parts.insert(draw.randrange(len(parts) + 1), draw.choice(pieces))
        text, gold = "".join(parts[draw.choice((0, 0, 0, 1)) :]), draw.choice(golds)
        got = [function(completions=[text], answer=[gold])[0] for function in functions]
        assert got == plain_tutorial(text, gold), (text, gold)
        matches += got[0] > 0
        seen.add((got[2], got[3]))
    assert matches > 4000
    assert {answer for answer, _ in seen} == {3.0, 1.5, 0.5, 0.25, 0.0, -0.5, -1.0}
    assert len(seen) >= 12


def test_the_highest_totals():
    assert sum(rewarded("tutorial", f"{HEAD}18{SE}", "18")) == 9.5
    assert sum(rewarded("tutorial", f"{HEAD}1,000{SE}", "1,000")) == 8.0
    assert sum(rewarded("tutorial", f"{HEAD}-5{SE}", "-5")) == 8.0
    for gold in ("18", "1,000", "-5"):
        assert sum(rewarded("robust", f"{HEAD}{gold}{SE}", gold)) == 9.5


def test_the_most_that_can_be_earned_is_said_where_it_is_known():
    def most(*functions: str) -> float | None:
        given = [f"rewards.functions=[{', '.join(functions)}]"]
        return loading.load(loading.find_experiment("quickstart"), given).rewards.most()

    assert most(*NAMES) == 9.5 and most("correct", "shorter") == 1.5
    assert most("{name: check_answer, weight: 2.0}", "soft_overlong") == 6
    assert most("correct", "experiments/rewards/brevity.py:brevity") is None
    assert most("{name: correct, weight: -1.0}") is None
    assert schema.MOST.keys() == {*NAMES, *PIECES}


@pytest.mark.parametrize("label", hostile_texts())
def test_hostile_texts_take_time_in_proportion(label):
    small, large = (hostile_texts(size)[label] for size in (12_500, 100_000))
    for profile in PROFILES:
        for gold in ("18", "9" * 100_000):
            assert growth(lambda text, p=profile, g=gold: rewarded(p, text, g), small, large) < EIGHTFOLD


# --- the robust profile


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{HEAD}16{SE}", [3.0, 2.0, 3.0, 1.5]),
        (f"{HEAD}\n$16.00\n{SE}\n", [3.0, 2.0, 3.0, 1.5]),
        (f"{HEAD}15{SE}", [3.0, 2.0, -1.0, 0.0]),
        (f"{HEAD}-16{SE}", [3.0, 2.0, -1.0, 0.0]),
        (f"{HEAD}15 or 16{SE}", [3.0, 2.0, -1.0, 0.0]),
        (f"{HEAD}sixteen{SE}", [3.0, 2.0, -1.0, 0.0]),
        (f"{WS} {WE}{SS}16{SE}", [0.0, 2.0, 3.0, 1.5]),
        (f"Hi\n{HEAD}16{SE}", [0.0, 2.0, 3.0, 1.5]),
        (f"{HEAD}{SE} 16", [0.0, 2.0, -1.0, 0.0]),
        (f"{HEAD}16{SE} {SS}15{SE}", [0.0, 0.0, -1.0, 0.0]),
        ("The answer is 16", [0.0, -2.0, 1.5, 1.5]),
        ("The answer is 15", [0.0, -2.0, -1.0, 0.0]),
        ("", [0.0, -2.0, -1.0, 0.0]),
    ],
)
def test_the_robust_table(text, expected):
    assert rewarded("robust", text, "16") == expected


def test_disagreement():
    texts = [f"{HEAD}16{SE}", f"Hi\n{HEAD}16{SE}", f"{HEAD}$16{SE}", "The answer is 16"]
    assert disagreement(texts, ["16"] * 4, TAGS) == {"format": 0.25, "answer": 0.5}
    assert disagreement([], [], TAGS) == {"format": 0.0, "answer": 0.0}
    with pytest.raises(ValueError, match="shorter"):
        disagreement(texts, ["16"], TAGS)


# --- building


@pytest.mark.parametrize("profile", PROFILES)
def test_functions_keep_their_order_names_and_lengths(profile, capsys):
    functions = built(profile, NAMES[::-1])
    assert [function.__name__ for function in functions] == NAMES[::-1]
    texts, golds = [f"{HEAD}18{SE}", "18", ""], ["18", "1,000", "-5"]
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    for function in functions:
        as_text = function(prompts=["a", "b", "c"], completions=texts, answer=golds)
        as_messages = function(completions=messages, answer=golds)
        assert as_text == as_messages and len(as_text) == 3
        assert all(type(reward) is float for reward in as_text)
        assert function(completions=[], answer=[]) == []
        with pytest.raises(ValueError, match="shorter"):
            function(completions=texts, answer=golds[:2])
    assert capsys.readouterr() == ("", "")


def test_other_tags():
    tags = Tags("<think>", "</think>", "<answer>", "</answer>")
    for profile in PROFILES:
        functions = build(NAMES, profile=profile, setting=replace(SETTING, tags=tags), base_dir=Path())
        text = "<think>a</think><answer>18</answer>"
        assert sum(function(completions=[text], answer=["18"])[0] for function in functions) == 9.5


OWN = """
import dataclasses

@dataclasses.dataclass
class Weight:
    value: "float" = 0.5

def shorter(completions, **kwargs):
    return [-len(c) * Weight().value for c in completions]

def sometimes(prompts, completions, answer, **kwargs):
    return [None if gold == "0" else 1 for gold in answer]

def array(completions, **kwargs):
    import numpy
    return numpy.ones(len(completions), dtype="float32")

def loose(completions, **kwargs):
    import numpy
    return (numpy.float32(0.5) for _ in completions)

def too_few(completions, **kwargs):
    return [1.0]

def nothing(completions, **kwargs):
    pass

def vectors(completions, **kwargs):
    import numpy
    return [numpy.ones(2) for _ in completions]

def tensors(completions, **kwargs):
    import torch
    return [torch.ones(2) for _ in completions]

def by_text(completions, **kwargs):
    return {0: 1.0, 1: 2.0}

def words(completions, **kwargs):
    return ["good"] * len(completions)

def not_finite(completions, **kwargs):
    return [float("nan"), 10 ** 400]

def broken(completions, **kwargs):
    return [c["no such\\nkey"] for c in ({}, {})]

def leaves(completions, **kwargs):
    raise GeneratorExit("bye")

class Shy(Exception):
    def __str__(self):
        raise ValueError

def shy(completions, **kwargs):
    raise Shy

async def later(completions, **kwargs):
    return [1.0]

number = 5
"""


@pytest.fixture
def own(tmp_path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text(OWN, encoding="utf-8")
    return tmp_path


def test_a_function_of_the_users_own(own):
    names = [
        "mine/own.py:shorter",
        "format_exact",
        f"{own}/mine/own.py:sometimes",
        "mine/own.py:array",
        "mine/own.py:loose",
    ]
    functions = built("tutorial", names, own)
    assert [f.__name__ for f in functions] == [
        "own_shorter",
        "format_exact",
        "own_sometimes",
        "own_array",
        "own_loose",
    ]
    given = {"prompts": ["p", "p"], "completions": ["abcd", ""], "answer": ["18", "0"], "trainer_state": None}
    assert functions[0](**given) == [-2.0, 0.0]
    assert functions[2](**given) == [1.0, None]
    assert functions[3](**given) == [1.0, 1.0]
    assert functions[4](**given) == [0.5, 0.5]


def test_a_function_without_room_for_other_columns_is_told_how_to_make_it(own):
    (own / "mine" / "narrow.py").write_text("def f(completions):\n    return [0.0 for _ in completions]\n")
    (reward,) = built("tutorial", ["mine/narrow.py:f"], own)
    with pytest.raises(RewardError, match=r"got an unexpected keyword argument 'answer'; end its parameters with \*\*"):
        reward(completions=["a", "b"], answer=["1", "2"])


def test_a_function_that_wants_a_column_that_there_is_not_is_told_which_there_are(own):
    (own / "mine" / "wide.py").write_text("def f(completions, question, **columns):\n    return [0.0]\n")
    (reward,) = built("tutorial", ["mine/wide.py:f"], own)
    with pytest.raises(RewardError, match=r"argument: 'question'; a reward is given completions, prompts, answer$"):
        reward(completions=["a"], prompts=["p"], answer=["1"])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("too_few", "'mine/own.py:too_few' returned 1 reward; expected a list of 2 rewards"),
        ("nothing", "'mine/own.py:nothing' returned a NoneType; expected a list of 2 rewards"),
        ("vectors", "'mine/own.py:vectors' returned '[1. 1.]'; expected a finite number in float32's range"),
        ("tensors", "'mine/own.py:tensors' returned 'tensor([1., 1.])'; expected a finite number in float32's range"),
        ("by_text", "'mine/own.py:by_text' returned a dict; expected a list of 2 rewards"),
        ("words", "'mine/own.py:words' returned 'good'; expected a finite number in float32's range"),
        ("not_finite", "'mine/own.py:not_finite' returned 'nan'; expected a finite number in float32's range"),
        ("leaves", "'mine/own.py:leaves' failed: GeneratorExit: bye (line 49)"),
        ("shy", "'mine/own.py:shy' failed: Shy: its message cannot be shown (line 56)"),
        ("broken", "'mine/own.py:broken' failed: KeyError: 'no such\\nkey' (line 46)"),
    ],
)
def test_a_function_that_breaks_its_contract(own, function, message):
    (reward,) = built("tutorial", [f"mine/own.py:{function}"], own)
    with pytest.raises(RewardError) as error:
        reward(completions=["a", "b"], answer=["1", "2"])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_function_that_changes_the_texts_changes_them_for_itself(tmp_path):
    """TRL hands the same lists to every reward, and the run's record."""
    (tmp_path / "own.py").write_text(
        "def tidy(completions, **columns):\n"
        "    for completion in completions:\n"
        "        completion[0]['content'] = ''\n"
        "    return [float(not completions.pop()[0]['content']) for _ in list(completions)]\n"
    )
    tidy, exact = built("tutorial", ["own.py:tidy", "format_exact"], tmp_path)
    completions = [[{"role": "assistant", "content": f"{HEAD}16{SE}"}] for _ in range(2)]
    assert tidy(completions=completions, answer=["16"] * 2) == [1.0, 1.0]
    assert exact(completions=completions, answer=["16"] * 2) == [3.0, 3.0]


def test_a_function_that_changes_golds_prompts_or_tokens_changes_them_for_itself(tmp_path):
    (tmp_path / "own.py").write_text(
        "def tidy(completions, answer, prompts, completion_ids, **columns):\n"
        "    answer[:] = ['0'] * len(answer)\n"
        "    prompts[0][-1]['content'] = ''\n"
        "    del completion_ids[0][1:]\n"
        "    return [0.0] * len(completions)\n"
    )
    (tidy,) = built("tutorial", ["own.py:tidy"], tmp_path)
    columns = {"answer": ["16"], "prompts": [[{"role": "user", "content": "8 + 8?"}]], "completion_ids": [[1, 2, 3]]}
    before = copy.deepcopy(columns)
    assert tidy(completions=[[{"role": "assistant", "content": "16"}]], **columns) == [0.0]
    assert columns == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["format_exct"], "unknown reward function 'format_exct'; did you mean 'format_exact'? valid: "),
        (["checknumbers"], "did you mean 'check_numbers'?"),
        ([""], "unknown reward function ''; did you mean"),
        (["format_exact", "format_exact"], "two reward functions are called 'format_exact'"),
        (["mine/own.py"], "names no function; write path/to/file.py:function"),
        (["mine/own.py:"], "names no function; write path/to/file.py:function"),
        ([":shorter"], "names no function; write path/to/file.py:function"),
        (["mine/none.py:shorter"], "mine/none.py does not exist"),
        (["mine:shorter"], "mine does not exist"),
        (["mine/own.txt:shorter"], "own.txt is not a Python file (.py)"),
        (["mine/own.py:longer"], "has no function 'longer'; it has: shorter, "),
        (["mine/own.py:number"], "'number' is not a function"),
        (["mine/own.py:later"], "'later' is asynchronous; write a plain function"),
        (["mine/syntax.py:f"], "syntax.py cannot be loaded: SyntaxError: "),
        (["mine/exits.py:f"], "exits.py cannot be loaded: SystemExit: 3 (line 1)"),
        (
            ["mine/imports.py:f"],
            "imports.py cannot be loaded: ModuleNotFoundError: No module named ",
        ),
    ],
)
def test_what_cannot_be_built(own, names, message):
    (own / "mine" / "own.txt").write_text(OWN, encoding="utf-8")
    for name, code in (
        ("syntax", "def f(:\n"),
        ("exits", "raise SystemExit(3)"),
        ("imports", "import no_such_one"),
    ):
        (own / "mine" / f"{name}.py").write_text(code, encoding="utf-8")
    with pytest.raises(RewardError) as error:
        built("tutorial", names, own)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_metric_of_the_users_own_cannot_take_the_name_of_another(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def f(completions, log_metric, **columns):\n"
        "    log_metric('reward', 100)\n"
        "    log_metric('step', columns['answer'][0])\n"
        "    return [0.0] * len(completions)\n"
    )
    (function,) = built("tutorial", ["mine.py:f"], tmp_path)
    logged = {}
    given = {"completions": [[{"role": "assistant", "content": "2"}]], "log_metric": logged.__setitem__}
    assert function(**given, answer=[7]) == [0.0] and logged == {"user/reward": 100.0, "user/step": 7.0}
    with pytest.raises(RewardError, match=r"mine.py:f, log_metric step' returned 'x'; expected a finite number"):
        function(**given, answer=["x"])


# --- tried out at the start of a run

CALLED = """
def looks(prompts, completions, completion_ids, answer, problem_id, trainer_state, log_metric, log_extra):
    assert [message["role"] for message in prompts[0]] == ["system", "user"]
    log_metric("seen", trainer_state.global_step / trainer_state.max_steps)
    log_extra("gold", answer)
    lists = (prompts, completions, completion_ids, answer, problem_id)
    raise LookupError([len(each) for each in lists], answer[0], [c[0]["content"] for c in completions])

def picky(completions, **columns):
    return [1.0 / len(c[0]["content"]) for c in completions]
"""


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        ("looks", ("LookupError: ([4, 4, 4, 4, 4], ", f"So.{WE}{SS}", "'The answer is ", ".', '', ", "(line 6)")),
        ("picky", ("ZeroDivisionError: float division by zero (line 9)",)),
    ],
)
def test_a_mistake_is_found_before_the_first_evaluation(tmp_path, function, parts):
    """The function gets what the training passes; failing on an empty completion, it would end the training later."""
    (tmp_path / "mine.py").write_text(CALLED.lstrip())
    setting = f"rewards.functions=[{{name: check_answer}}, {{name: {tmp_path}/mine.py:{function}}}]"
    results = tmp_path / "results"
    done = harness("run", "quickstart", "train.generations=4", setting, "--results", results)
    refused(done, f"rewards.functions: reward '{tmp_path}/mine.py:{function}' failed: ", *parts)
    assert not results.exists()


# --- the example


def test_the_example_pays_for_short_working(tmp_path, monkeypatch):
    """200 characters earn nothing: 50 give 1 - 50 / 200. The file is found from any folder, as the experiments are."""
    monkeypatch.chdir(tmp_path)
    example = loading.load(loading.find_experiment("quickstart_brevity"))
    assert [function.weight for function in example.rewards.functions] == [1.0, 1.0, 1.0, 1.0, 0.5]
    *_, brevity = rewards.of(example)
    assert brevity.__name__ == "brevity_brevity"
    texts = [f"{WS}{'x' * n}\n{WE}{SS}1{SE}" for n in (0, 50, 200, 1000)] + [f"{SS}1{SE}", f"{WS}no end"]
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    assert brevity(completions=completions, answer=["1"] * 6) == [1.0, 0.75, 0.0, 0.0, None, None]
    file = ROOT / "experiments/rewards/brevity.py"
    assert rewards.inputs(example) == {"reward file experiments/rewards/brevity.py": file_hash(file)}
    monkeypatch.chdir(ROOT)
    quick = loading.load(loading.find_experiment("quickstart"))
    alike = quick.model_copy(update={"rewards": example.rewards, "name": example.name})
    assert alike == example  # only the reward differs


def test_an_unknown_profile():
    with pytest.raises(RewardError, match="unknown reward profile 'robusd'; did you mean 'robust'"):
        built("robusd")


def test_the_bench_command():
    done = harness("bench", "scoring")
    assert (done.returncode, done.stderr) == (0, "")
    for word in (*hostile_texts(), "score", *NAMES, "µs a text"):
        assert word in done.stdout


# --- pieces with a published form

RIGHT, WRONG = f"{HEAD}18{SE}", f"{HEAD}17{SE}"


def piece(name: str, texts: list[str], tokens: list[int] | None = None, problems: str | None = None, **state):
    """The rewards of completions to questions whose answer is 18, asked for as TRL asks: in groups of four."""
    (function,) = built("tutorial", [name])
    lengths, ids = tokens or [3] * len(texts), list(problems or "p" * len(texts))
    return function(
        prompts=[[]] * len(texts),
        completions=[[{"role": "assistant", "content": text}] for text in texts],
        completion_ids=[[7] * length for length in lengths],
        answer=["18"] * len(texts),
        problem_id=ids,
        trainer_state=SimpleNamespace(global_step=state.get("step", 0)),
    )


def test_correct_pays_for_what_the_evaluation_counts():
    texts = [RIGHT, WRONG, "The answer is 18.", "$18.00", "", f"{HEAD}18 or 20{SE}"]
    assert piece("correct", texts) == [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_math_verify_pays_for_the_value_however_it_is_written():
    pytest.importorskip("math_verify")
    (function,) = built("tutorial", ["math_verify"])
    pairs = [
        (f"{HEAD}\\frac{{1}}{{2}}{SE}", "0.5", 1.0), ("So \\boxed{(3,\\infty)}.", "(3, \\infty)", 1.0),
        (f"{HEAD}1,000{SE}", "1000", 1.0), (f"{HEAD}17{SE}", "18", 0.0), ("\\boxed{x^2}", "x^3", 0.0), ("", "18", 0.0),
    ]  # fmt: skip
    texts, golds, expected = zip(*pairs, strict=True)
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    assert function(completions=chats, answer=list(golds)) == list(expected)


def test_math_verify_that_is_not_installed_is_one_line(monkeypatch):
    from harness.tasks import judge

    monkeypatch.setattr(judge, "installed", lambda: "")
    with pytest.raises(RewardError, match=r"rewards.functions: math_verify needs .*\[math\]"):
        built("tutorial", ["math_verify"])


def test_each_tag_that_is_there_once_counts_a_quarter():
    assert piece("tag_count", [RIGHT, "18", f"{WS}{WS}a{WE}", f"{SE}{SS}{WE}{WS}"]) == [1.0, 0.0, 0.25, 1.0]


def test_the_overlong_are_punished_as_by_trl():
    """TRL's own function with the same limits is the second implementation."""
    from trl.rewards import get_soft_overlong_punishment

    lengths = [1, 79, 80, 81, 90, 99, 100, 101, 150]
    theirs = get_soft_overlong_punishment(max_completion_len=100, soft_punish_cache=20)
    ours = piece("soft_overlong", [""] * len(lengths), lengths)
    assert ours == pytest.approx(theirs([[7] * length for length in lengths]))
    assert ours[2] == 0 and ours[4] == pytest.approx(-0.5) and ours[6:] == [-1.0] * 3


def test_shorter_is_among_the_completions_of_one_group_and_never_pays_for_a_wrong_one():
    texts, tokens = [RIGHT, RIGHT, WRONG, WRONG, RIGHT, RIGHT], [10, 20, 10, 20, 500, 500]
    assert piece("shorter", texts, tokens, "aaaabb") == [0.5, -0.5, 0.0, -0.5, 0.0, 0.0]
    assert piece("shorter", [RIGHT, WRONG, RIGHT], [10, 15, 18], "aaa") == pytest.approx([0.5, -0.125, -0.5])
    twice = piece("shorter", [RIGHT] * 8, [10, 20, 30, 40, 100, 200, 300, 400], "a" * 8)
    assert twice[:4] == twice[4:] == pytest.approx([0.5, 1 / 6, -1 / 6, -0.5])


def test_random_rewards_are_of_seed_step_question_and_place_alone():
    drawn = piece("random", [RIGHT] * 8, problems="aaaabbbb", step=3)
    assert drawn == piece("random", [WRONG] * 8, problems="aaaabbbb", step=3)
    assert len(set(drawn)) == 8 and all(0 <= value < 1 for value in drawn)
    assert not set(drawn) & set(piece("random", [RIGHT] * 8, problems="aaaabbbb", step=4))
    (other,) = build(["random"], profile="tutorial", setting=replace(SETTING, seed=1), base_dir=Path())
    state = SimpleNamespace(global_step=3)
    assert not set(drawn) & set(other(problem_id=list("aaaabbbb"), trainer_state=state))
    many = [value for step in range(500) for value in piece("random", [""] * 8, step=step)]
    assert abs(sum(many) / len(many) - 0.5) < 4 * (1 / 12 / len(many)) ** 0.5  # uniform: its mean within 4 SE


def test_random_rewards_of_several_processes_are_those_of_one(monkeypatch):
    whole = piece("random", [""] * 8)
    monkeypatch.setenv("HARNESS_RANKS", "1")
    parts = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        parts += piece("random", [""] * 4)
    assert parts == whole


def test_the_pieces_are_listed_beside_the_four():
    with pytest.raises(
        RewardError, match=r"did you mean 'soft_overlong'\? valid: format_exact, .*, correct, math_verify"
    ):
        built("tutorial", ["soft_overlng"])
    assert [function.__name__ for function in built("robust", ["correct", "check_answer"])] == [
        "correct",
        "check_answer",
    ]
