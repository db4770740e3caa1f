"""A serving engine before which stands an OpenAI-compatible HTTP API: what it is asked, and what it answers. Knows no model and no case."""
