"""The emulated operators, one module a family. A new module here is found by being here."""
