"""Every kind of device, one module each: adding a file here adds a device. Knows no case."""

from harness.devices.device import UNSTATED, Device, Memory, available_devices, open_device

__all__ = ["UNSTATED", "Device", "Memory", "available_devices", "open_device"]
