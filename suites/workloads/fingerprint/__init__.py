"""The numeric fingerprint of a device: small exact probes whose answers tell what kind of arithmetic it has. Each knows no device."""
