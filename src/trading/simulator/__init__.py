"""What would this strategy have done on this tape? One step, numba kernels, pure functions: `docs/simulator.md`."""
