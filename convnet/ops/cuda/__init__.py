"""The GPU backend: `driver` is all it knows of a device, real or emulated."""
