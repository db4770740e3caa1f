"""Every kind of promise, one module each: a frozen dataclass with a name, called with `Evidence`, answering with findings."""
