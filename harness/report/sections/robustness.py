"""What the report says about how far its numbers carry: other scorers, cut answers, doing nothing, samples, seeds.

Each is a function (run, numbers) -> Section, or None where the run has nothing of the kind; `alerts` are the lines
about them that stand under the first table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.report import charts
from harness.report.charts import Row
from harness.report.document import Block, Figure, Loud, Section, Table
from harness.report.summary import REWARD_SHARE
from harness.report.wording import LABELS, certainty, mark, p_text, points, rate_text
from harness.runs.directory import RunDir
from harness.stats.verdict import signed, spell_p

TRUNCATED = 0.01  # share of completions cut at the token limit above which the report says it aloud


def alerts(numbers: dict[str, Any]) -> Iterator[str]:
    """A line each: loud for what could overturn the verdict, plain for the panel's and the noise floor's findings."""
    if above := [side for side in ("base", "tuned") if numbers["truncation"][f"{side}_cut"] > TRUNCATED]:
        t = numbers["truncation"]
        cut = " and ".join(f"{t[f'{side}_cut']:.1%} of the {side}" for side in above)
        yield Loud(
            f"{cut} completions were cut at the token limit and count as wrong; whatever they would have been, the "
            f"difference of accuracy lies between {_bare(t['lowest'])} and {_bare(t['highest'])} points."
        )
    panel = numbers["panel"]
    if panel["flips"]:
        flipped = [entry for entry in panel["scorers"] if entry["name"] in panel["flips"]]
        others = ", ".join(f"{_bare(entry['difference'])} by {entry['name']}" for entry in flipped)
        yield Loud(
            f"THE SIGN OF THE ACCURACY DIFFERENCE FLIPS WITH THE SCORER{_whose(numbers)}: "
            f"{_bare(panel['ours'])} points by ours, {others}; see Under other scorers."
        )
    else:
        yield f"{panel['sentence'].partition(';')[0].rstrip('.')}{_whose(numbers)}."
    if floor := numbers.get("noise_floor"):
        yield floor["accuracy"]["sentence"]


def seeds(run: RunDir, numbers: dict[str, Any]) -> Section | None:
    """Every training by itself, and the mean."""
    if "seeds" not in numbers:
        return None
    whole, rows, drawn = numbers["difference"], [], []
    for entry in numbers["seeds"]:
        d = entry["difference"]
        tests = (str(d["accuracy"]["gained"]), str(d["accuracy"]["lost"]), spell_p(d["accuracy"]["mid_p"]))
        others = (points(d["strict"]), points(d["format"]))
        accuracy = entry["tuned"]["accuracy"]
        rows.append((f"seed {entry['seed']}", rate_text(accuracy), points(d["accuracy"]), *tests, *others))
        drawn.append(_row(f"seed {entry['seed']}", d["accuracy"]))
    differences = [points(whole[name]) for name in LABELS]
    rate = rate_text(numbers["tuned"]["accuracy"])
    rows.append(("mean", rate, differences[0], "", "", p_text(whole["accuracy"]), *differences[1:]))
    title = "Change of accuracy by training seed in points, with 95% intervals"
    drawn.append(_row(f"mean of {len(drawn)} seeds, retraining included", whole["accuracy"]))
    columns = ("training", "tuned accuracy", "Δ accuracy", "gained", "lost", "mid-p", "Δ strict", "Δ format")
    return Section(
        "Training seeds",
        [
            Figure("seeds", title, charts.forest("seeds", title, drawn, zero=True)),
            Table(columns, rows),
            "\n".join(_over_seeds(numbers)),
        ],
    )


def _over_seeds(numbers: dict[str, Any]) -> Iterator[str]:
    d, count = numbers["difference"]["accuracy"], len(numbers["seeds"])
    yield (
        "The interval of a seed is about that one checkpoint; the interval of the mean is about trainings like these "
        f"{count}, with other seeds and on questions like these."
    )
    if d["df"] is not None:
        part, question, seed = (f"{100 * d[name]:.2f}" for name in ("se", "se_question", "se_seed"))
        yield (
            f"Its standard error is {part} points, {question} from the questions and {seed} from the trainings "
            f"(squares add up), and t has {d['df']:.1f} degrees of freedom."
        )
    ends = [
        (entry["seed"], entry["train"]["reward_first"], entry["train"]["reward_last"]) for entry in numbers["seeds"]
    ]
    if all(last is not None for _, _, last in ends):
        each = ", ".join(f"{first:.2f} to {last:.2f} (seed {seed})" for seed, first, last in ends)
        yield f"The mean reward of the first and of the last {REWARD_SHARE:.0%} of the steps: {each}."
    if count == 2:
        yield "Two trainings tell little about a third: such intervals were measured to cover 92% instead of 95%."


def panel(run: RunDir, numbers: dict[str, Any]) -> Section:
    """The same completions under the published rules of others."""
    found, rows = numbers["panel"], []
    signs = {"agrees": "agrees", "disagrees": Loud("disagrees"), "undecided": "undecided", None: "not applicable"}
    ours = found["ours"]
    rates = (_percent(ours[side]) for side in ("base", "tuned"))
    rows.append(("ours", "", *rates, points(ours), "", ""))
    for entry in found["scorers"]:
        sides = [entry["base"], entry["tuned"]]
        shares = [" / ".join(_percent(side[name]) for side in sides) for name in ("extracted", "as_ours")]
        rates = (_percent(side["accuracy"]) for side in sides)
        rows.append((entry["name"], signs[entry["sign"]], *rates, points(entry["difference"]), *shares))
    columns = ("scorer", "sign", "base", "tuned", "difference, points", "extracted", "as ours")
    words = (
        "The same completions under the rules of others; extracted and as ours are shares of the completions of base "
        "and tuned in which a rule finds an answer and on which its verdict is ours. A rule that finds one in under "
        "half of a side was made for another format and has no vote."
    )
    taken = "\n".join(f"{e['name']} takes {e['reads']} ({e['source']})." for e in found["scorers"])
    sentence = Loud(found["sentence"]) if found["flips"] else found["sentence"]
    return Section(f"Under other scorers{_whose(numbers)}", [sentence, words, Table(columns, rows), taken])


def truncation(run: RunDir, numbers: dict[str, Any]) -> Section | None:
    """What the completions that were cut could have made of the difference."""
    t = numbers["truncation"]
    if not t["base_cut"] and not t["tuned_cut"]:
        return None
    rows = [
        ("as scored: wrong on both sides", points(numbers["difference"]["accuracy"])),
        ("the base's right, the tuned model's wrong", points(t["lowest"])),
        ("the base's wrong, the tuned model's right", points(t["highest"])),
    ]
    shares = f"{t['base_cut']:.1%} of the base's and {t['tuned_cut']:.1%} of the tuned model's completions were cut."
    if t["sign_holds"]:
        words: Block = f"{shares} The sign of the difference does not depend on what they would have been."
    else:
        words = f"{shares} The sign of the difference depends on what they would have been."
        if max(t["base_cut"], t["tuned_cut"]) > TRUNCATED:
            words = Loud(words)
    table = Table(("were the cut completions", "difference of accuracy, points"), rows)
    return Section("Cut at the token limit", [words, table])


def noise_floor(run: RunDir, numbers: dict[str, Any]) -> Section | None:
    """The base evaluated twice."""
    if (floor := numbers.get("noise_floor")) is None:
        return None
    rows = []
    for name, label in LABELS.items():
        d = floor[name]["difference"]
        share = rate_text({"value": floor[name]["rate"]} | {end: floor[name][end] for end in ("low", "high")})
        rows.append((label, share, str(d["gained"]), str(d["lost"]), points(d)))
    changed = floor["changed"] or {}
    what = "the order of the questions" + (" and the seed of the sampling" if changed.get("seed") is not None else "")
    words = (
        f"The base was evaluated a second time with nothing changed but {what}: what differs below is what any "
        "difference above has to be read against."
    )
    columns = ("base again minus base", "questions that changed", "gained", "lost", "difference, points")
    return Section("Doing nothing", [words, Table(columns, rows)])


def of_samples(run: RunDir, numbers: dict[str, Any]) -> Section | None:
    """pass@k, pass^K and maj@K."""
    if "of_samples" not in numbers:
        return None
    rows = []
    for entry in numbers["of_samples"]:
        rates = (rate_text(entry[side]) for side in ("base", "tuned"))
        rows.append((entry["name"], *rates, points(entry["difference"]), p_text(entry["difference"])))
    count = numbers["samples"]
    words = (
        f"Of {count} samples a question: pass@k is the chance that at least one of k is right, pass^{count} that all "
        f"{count} are, maj@{count} that the commonest answer is (ties share; cut and unparsed ones have no vote). "
        "Questions are resampled, never pooled answers."
    )
    return Section(
        "Several samples a question", [words, Table(("measure", "base", "tuned", "difference, points", "p"), rows)]
    )


def proofs(numbers: dict[str, Any]) -> Table:
    """The adapter proof of every seed."""
    rows = []
    for entry in numbers["seeds"]:
        p = entry["proof"]
        correlations = (f"{p[f'correlation_{name}']:.4f}" for name in ("amplified", "zeroed", "renamed"))
        changed = f"{p['completions_changed']} of {p['completions_changed_by_peft']}"
        own = (f"{p['adapter_change']:.3g}", f"{p['rerun_change']:.3g}")
        rows.append((f"seed {entry['seed']}", f"{p['modules_loaded']} of {p['modules']}", *correlations, changed, *own))
    columns = ("adapter", "modules", "correlation", "zeroed", "renamed", "probes changed", "own change", "rerun")
    return Table(columns, rows)


def _row(label: str, difference: dict[str, Any]) -> Row:
    return Row(label, (mark(certainty(difference), difference, points(difference)),))


def _whose(numbers: dict[str, Any]) -> str:
    """What is about one of several seeds says of which."""
    return f" (seed {numbers['train']['seed']})" if "seeds" in numbers else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _bare(difference: dict[str, Any]) -> str:
    return signed(difference["value"])
