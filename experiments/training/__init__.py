"""The training loop and what makes it trustworthy: guard, checkpoints, interrupts, schedules."""
