"""Properties that hold of right arithmetic whatever the numbers are, so that a device is judged by itself. Knows no reference."""
