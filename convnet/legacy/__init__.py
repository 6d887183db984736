"""Checkpoints of the original cuda-convnet, of its first (v1) and second version (v2)."""
