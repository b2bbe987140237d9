"""What would this strategy have done on this tape? One step, numba kernels, pure functions; the law is in `docs/simulator.md`."""
