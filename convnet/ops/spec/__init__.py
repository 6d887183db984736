"""The operations by family: arguments, shapes and formulas. See convnet.ops.base."""
