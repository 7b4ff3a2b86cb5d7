"""The tags of the answer format, under the name that users' reward files import."""

from harness.tasks.records import Tags

__all__ = ["Tags"]
