"""The questions, and what an answer to one is worth."""
