"""The networks: MobileNetV2 for devices, and larger ones that teach it."""
