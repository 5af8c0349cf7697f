"""What is inside of a model, as arrays: probabilities, attention, heads, neurons, parameters, the embedding."""
