"""Real weights and real text, as ordinary packages bring them or a user names them. Knows no device and no case."""
