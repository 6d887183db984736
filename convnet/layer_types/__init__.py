"""The layers: one file a family, each with its parameters, shape rule, forward and backward."""
