"""The fast path on a GPU: encoders made for it, Triton kernels, copies through page-locked memory."""
