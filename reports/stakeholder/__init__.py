"""The stakeholder page: each module here has ORDER, TITLE (a key of phrases.toml) and render(frames), and is found by being here."""
