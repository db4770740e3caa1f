"""Ways in which devices, or code for them, were wrong: one module a family. Each is defined without regard to any test."""
