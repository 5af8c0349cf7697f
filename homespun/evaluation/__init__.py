"""Evaluation: the loss on a whole text, bits per character and byte; calibration; and memorisation."""
