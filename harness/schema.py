"""The tags of the answer format, under the name that reward files of one's own import."""

from harness.tasks.records import Tags

__all__ = ["Tags"]
