"""From results to reports: summary.json, Markdown and HTML."""
