"""What is inside of a model, as arrays: the probability of each token, attention."""
