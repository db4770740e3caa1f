"""Every kind of device, one module each: adding a file here adds a device. Knows no case."""

from harness.devices.device import Device, Memory, available_devices, open_device

__all__ = ["Device", "Memory", "available_devices", "open_device"]
