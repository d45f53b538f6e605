"""The parts of a training run: the traced step, the engines that run it, records, stopping, progress."""
