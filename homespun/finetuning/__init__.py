"""Fine-tuning: a pretrained model is trained on the user's text, or to answer as in the user's conversations.

lora, nf4          trainable low-rank matrices; the base model in four bits
growing            embedding rows for new tokens
learner            the loss of packed sequences, without logits for all positions
loop, run, card    the training loop, the run folder and its model card
speed              timing of this machine for the planner
writing            samples from the model during training
general_text       a general text that measures what the model forgets
"""
