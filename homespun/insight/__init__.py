"""What is inside of a model, as arrays: token probabilities, attention, the logit lens, the embedding."""
