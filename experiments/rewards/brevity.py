"""A custom reward: short working pays. Copy and change it; experiments/quickstart_brevity.yaml uses it:

    rewards:
      functions:
        - name: check_answer                             # the built-in ones, as many as you like
        - name: experiments/rewards/brevity.py:brevity   # path to the file, colon, function
          weight: 0.5                                    # default: 1.0

The path is relative to the working directory. Before its first evaluation a run calls the function once on made-up
completions, so that a mistake costs only seconds. A run pins the content of this file (not of what the file imports):
after an edit, a training that was begun cannot be resumed, because its steps would have learned from two rewards.
"""

from __future__ import annotations

from typing import Any

from harness.schema import Tags

LONG = 200  # characters of working that earn nothing
TAGS = Tags()  # the default of prompt.tags


def brevity(completions: list[list[dict[str, str]]], answer: list[str], **columns: Any) -> list[float | None]:
    """1.0 for no working, 0.0 for LONG characters and more, linear in between.

    Called by keyword with lists of equal length:
      prompts         the chats: messages with "role" and "content"
      completions     what the model wrote: a list of one message, {"role": "assistant", "content": TEXT}
      completion_ids  the same as token ids
      answer          the gold answer as in the data, such as "18" or "1,000"
      problem_id      16 hex digits, from the question
    and with trainer_state (global_step, max_steps), log_metric(name, value) for metrics.jsonl, where it is user/NAME,
    and log_extra. Take what you need and leave the rest to **columns, as other versions of TRL may pass more.

    Returns one number for each completion, or None if the reward does not apply: here, if there is no working at all.
    None is left out of the means in metrics.jsonl; in the sum with other rewards it counts as 0.0. A completion to
    which no function gives a reward is left out of its group.
    Completions of one prompt are compared with each other, so the model learns only from differences between them.
    """
    return [_one(completion[0]["content"]) for completion in completions]


def _one(text: str) -> float | None:
    if TAGS.working_start not in text or TAGS.working_end not in text:
        return None
    working = text.partition(TAGS.working_start)[2].partition(TAGS.working_end)[0]
    return max(0.0, 1.0 - len(working.strip()) / LONG)
