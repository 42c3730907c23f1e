"""Devices: lanes of an ensemble over cores or accelerators, one run over many devices, and many processes."""
