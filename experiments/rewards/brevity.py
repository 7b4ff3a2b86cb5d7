"""A reward of one's own: short working pays. To copy and change; experiments/quickstart_brevity.yaml uses it:

    rewards:
      functions:
        - name: check_answer                             # the built-in ones, as many as you like
        - name: experiments/rewards/brevity.py:brevity   # path to the file, colon, function
          weight: 0.5                                    # 1.0 where it is left out

The path starts where the command is started. Before its first evaluation a run calls the function once on made-up
completions, so that a mistake costs seconds. It pins the content of this file (not of what the file imports): after
an edit a training that was begun refuses to go on, because its steps would have learned from two rewards.
"""

from __future__ import annotations

from typing import Any

from harness.schema import Tags

LONG = 200  # characters of working that earn nothing
TAGS = Tags()  # those of prompt.tags where an experiment names no others


def brevity(completions: list[list[dict[str, str]]], answer: list[str], **columns: Any) -> list[float | None]:
    """1.0 for hardly any working, 0.0 for LONG characters and more, in proportion between them.

    Called by keyword with a list of equal length for each of:
      prompts         the chats: messages with "role" and "content"
      completions     what the model wrote: a list of one message, {"role": "assistant", "content": TEXT}
      completion_ids  the same as token ids
      answer          the gold answer as the data have it, such as "18" or "1,000"
      problem_id      16 hex digits, from the question
    and with trainer_state (global_step, max_steps), log_metric(name, value) for metrics.jsonl, and log_extra. Take what
    you need and leave the rest to **columns: there may be more with another TRL.

    Returns one number a completion, or None where the reward does not apply: here, where there is no working at all.
    None is left out of the means in metrics.jsonl; in a completion's sum with other rewards it counts as 0.0 does.
    Several completions of one prompt are compared with each other, so only differences between them teach anything.
    """
    return [_one(completion[0]["content"]) for completion in completions]


def _one(text: str) -> float | None:
    if TAGS.working_start not in text or TAGS.working_end not in text:
        return None
    working = text.partition(TAGS.working_start)[2].partition(TAGS.working_end)[0]
    return max(0.0, 1.0 - len(working.strip()) / LONG)
