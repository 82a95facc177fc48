"""The top floor: asks, draws, and hands settings to the floors below. It computes nothing else."""
