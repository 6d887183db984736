"""What NVIDIA's compiler makes of the kernels, without a GPU: which there are, and their code."""
